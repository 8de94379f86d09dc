//! Redis: a cache of entries, and a rate limit that replicas share.
//!
//! The service works without anything stored here. No call returns an error: a call that Redis does
//! not answer in time has no result, and the connection is then not used for a moment, so that a
//! Redis that is down, hangs or is slow costs next to nothing. No output contains the password.

mod connection;
mod counts;
mod entry_cache;
mod network;
mod options;
mod rate_limiter;

pub use connection::Redis;
pub use counts::Counts;
pub use entry_cache::{CacheSlot, EntryCache, Lookup};
pub use options::{InvalidOptions, Options};
pub use rate_limiter::RedisRateLimiter;
