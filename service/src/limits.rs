//! Limits.

use std::time::Duration;

use domain::Quota;

/// What clients may do at most.
#[derive(Debug, Clone, Copy, Default)]
pub struct Limits {
    /// The most bytes that an upload may have, if there is a limit.
    pub max_upload_size: Option<u64>,
    /// How long an upload is kept of which nothing is heard.
    pub upload_age: Duration,
    /// How many claims an owner may make in a minute.
    pub claims_per_minute: u64,
    /// How much an owner may have who has no quota of its own.
    pub quota: Quota,
    /// The longest that a link may work.
    pub link_age: Duration,
    /// How long a deleted file can be restored.
    pub deleted_age: Duration,
    /// How long a content stays that nobody has any more.
    pub purge_grace: Duration,
    /// How long a copy stays that was moved to another store.
    pub copy_grace: Duration,
    /// How old an object has to be, to which no row leads, to be taken for left behind.
    pub orphan_age: Duration,
}

impl Limits {
    /// How long something may be on its way into a store before it is taken for left behind.
    pub(crate) fn upload_grace(&self) -> Duration {
        // However short it is set: nothing takes as long as this without a sign of life.
        self.orphan_age.max(Duration::from_hours(1))
    }
}
