//! What is counted of Redis.

use std::sync::atomic::{AtomicU64, Ordering};

/// What a process has seen of Redis since it began.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Entries that were found in the cache.
    pub hits: u64,
    /// Entries that had to be asked of the database, for whatever reason.
    pub misses: u64,
    /// What Redis did not do, or not in time; what it was not asked for is not among it.
    pub failures: u64,
    /// Changes of entries whose tombstone may not be there, because Redis failed or was away.
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
    pub(crate) fn count(&self) {
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
