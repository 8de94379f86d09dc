//! What time it is.

use std::sync::Arc;

use domain::Timestamp;

/// Where the service takes the time from: the system's clock, or one that a test sets.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> Timestamp + Send + Sync>);

impl Clock {
    /// The system's clock.
    #[must_use]
    pub fn system() -> Self {
        #[expect(
            clippy::disallowed_methods,
            reason = "this is the clock that others ask"
        )]
        Self::new(|| std::time::SystemTime::now().into())
    }

    /// A clock that shows what a function says.
    pub fn new(now: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    /// The moment that it is.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        (self.0)()
    }
}
