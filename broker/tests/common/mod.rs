//! What the tests have in common.

#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test ends where it fails"
)]

use std::{env, time::Duration};

use fileserver_broker::{Deliveries, Delivery, Options};

/// Where the broker is.
pub(crate) fn url() -> String {
    env::var("TEST_AMQP_URL").expect("TEST_AMQP_URL, which tests/servers sets")
}

/// Options with names of their own, so that tests do not see each other's messages.
pub(crate) fn options(name: &str) -> Options {
    Options {
        prefix: format!("{name}-{}", getrandom::u64().unwrap()),
        ..Options::new(url())
    }
}

/// A delivery that has to come soon.
pub(crate) async fn soon(deliveries: &mut Deliveries) -> Delivery {
    let next = tokio::time::timeout(Duration::from_secs(10), deliveries.next());
    next.await.expect("a delivery").unwrap().unwrap()
}

/// Waits until something holds.
pub(crate) async fn until(what: &str, limit: Duration, mut holds: impl AsyncFnMut() -> bool) {
    let end = tokio::time::Instant::now() + limit;
    while !holds().await {
        assert!(tokio::time::Instant::now() < end, "{what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
