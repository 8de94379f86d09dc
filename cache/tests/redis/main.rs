//! Tests of the cache and the rate limiter against a real Redis.

#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod common;
mod entry_cache;
mod outages;
mod rate_limiter;
