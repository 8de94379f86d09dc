//! Counters of cache hits, misses and Redis failures.

use std::sync::atomic::{AtomicU64, Ordering};

/// Hits, misses, failures and lost tombstones since this process started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Entries found in the cache.
    pub hits: u64,
    /// Entries that had to be read from the database, for any reason.
    pub misses: u64,
    /// Commands and connection attempts that failed or timed out. Calls skipped while Redis is
    /// unavailable are not counted.
    pub failures: u64,
    /// Invalidations whose tombstone may be missing, because Redis failed or was unavailable.
    pub lost_tombstones: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) hits: Counter,
    pub(crate) misses: Counter,
    pub(crate) failures: Counter,
    pub(crate) lost_tombstones: Counter,
}

#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn increment(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn read(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Counters {
    pub(crate) fn read(&self) -> Counts {
        Counts {
            hits: self.hits.read(),
            misses: self.misses.read(),
            failures: self.failures.read(),
            lost_tombstones: self.lost_tombstones.read(),
        }
    }
}
