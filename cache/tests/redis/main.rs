//! What the cache and the shared counts promise, over a real Redis.

#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test ends where it fails"
)]

mod common;
mod entries;
mod outages;
mod turnover;
