//! Helpers that the tests share.

#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

use std::{env, time::Duration};

use fileserver_broker::{Deliveries, Delivery, Options};

/// URL of the broker.
pub(crate) fn url() -> String {
    env::var("TEST_AMQP_URL").expect("TEST_AMQP_URL, which tests/servers sets")
}

/// Options with a random prefix, so that tests do not see each other's messages.
pub(crate) fn options(name: &str) -> Options {
    Options {
        prefix: format!("{name}-{}", getrandom::u64().unwrap()),
        ..Options::new(url())
    }
}

/// Waits a short time for a delivery.
pub(crate) async fn next_delivery(deliveries: &mut Deliveries) -> Delivery {
    let next = tokio::time::timeout(Duration::from_secs(10), deliveries.next());
    next.await.expect("a delivery").unwrap().unwrap()
}

/// Polls until a condition holds.
pub(crate) async fn until(
    condition: &str,
    time_limit: Duration,
    mut holds: impl AsyncFnMut() -> bool,
) {
    let deadline = tokio::time::Instant::now() + time_limit;
    while !holds().await {
        assert!(tokio::time::Instant::now() < deadline, "{condition}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
