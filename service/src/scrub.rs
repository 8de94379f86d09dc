//! The scrubber: reads every content once in a given time, and finds bytes that changed in a store.
//!
//! The time is divided among the shards. The clock says with which one the scrubber begins, so that
//! it needs to remember nothing between two processes, and reads every shard although it is
//! interrupted again and again.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::{Duration, Instant},
};

use domain::StoredContent;
use persistence::Shard;

use crate::{FileService, Result, boxed};

/// Number of rows per query.
const BATCH: u64 = 100;

/// Number of shards.
const SHARDS: u32 = 256;

/// The shortest time for a shard: an empty one costs two queries.
const SHORTEST: Duration = Duration::from_millis(10);

/// Pause after the database failed.
const RETRY_DELAY: Duration = Duration::from_secs(5);

/// What the scrubber of this process has done.
#[derive(Debug, Default)]
pub struct ScrubCounts {
    /// The number of contents that were read.
    pub contents: AtomicU64,
    /// The number of bytes that were read.
    pub bytes: AtomicU64,
    /// The number of damaged copies that were found by readers, checks and the scrubber.
    pub damaged: AtomicU64,
}

impl FileService {
    /// What the scrubber of this process has done.
    #[must_use]
    pub fn scrub_counts(&self) -> &ScrubCounts {
        &self.0.damage.counts
    }

    /// Reads all contents, each once in the given time, forever.
    #[boxed]
    pub async fn scrub_all(&self, time: Duration) {
        let per_shard = (time / SHARDS).max(SHORTEST);
        let since_epoch = u128::from(self.0.clock.now().microseconds().cast_unsigned());
        let slot = since_epoch / per_shard.as_micros().max(1);
        let first = usize::try_from(slot % u128::from(SHARDS)).unwrap_or_default();
        let mut shards: Vec<Shard> = Shard::all().collect();
        shards.rotate_left(first);
        for shard in shards.into_iter().cycle() {
            let began = Instant::now();
            if let Err(error) = self.scrub_shard(shard, per_shard).await {
                tracing::warn!(%error, "could not read all contents of a shard, going on with the next one");
                tokio::time::sleep(RETRY_DELAY).await;
            }
            tokio::time::sleep(per_shard.saturating_sub(began.elapsed())).await;
        }
    }

    async fn scrub_shard(&self, shard: Shard, time: Duration) -> Result<()> {
        let began = Instant::now();
        let contents = self.0.database.contents();
        let all = contents.count_bytes(shard).await?.max(1);
        let (mut after, mut read) = (0, 0);
        loop {
            let rows = contents.list(shard, after, BATCH).await?;
            let Some((last, _)) = rows.last() else {
                break;
            };
            after = *last;
            for (_, row) in rows {
                self.scrub_one(&row).await;
                read += row.content.size;
                let due = share(time, read, all);
                tokio::time::sleep(due.saturating_sub(began.elapsed())).await;
            }
        }
        self.scrub_damaged(shard).await
    }

    async fn scrub_one(&self, row: &StoredContent) {
        let counts = self.scrub_counts();
        match self.scrub(row).await {
            Ok(bytes) => {
                counts.contents.fetch_add(1, Relaxed);
                counts.bytes.fetch_add(bytes, Relaxed);
            }
            Err(error) => {
                let sha1 = row.content.sha1;
                tracing::warn!(%sha1, %error, "could not read the content, the next pass will");
            }
        }
    }

    /// Makes contents available again whose bytes were restored.
    async fn scrub_damaged(&self, shard: Shard) -> Result<()> {
        let mut after = 0;
        loop {
            let rows = self
                .0
                .database
                .checksums()
                .list_damaged(shard, after, BATCH)
                .await?;
            let Some((last, _)) = rows.last() else {
                return Ok(());
            };
            after = *last;
            for (_, row) in rows {
                self.restore_if_whole(&row).await?;
            }
        }
    }
}

/// The part of a time in which `part` of `all` bytes are due.
fn share(time: Duration, part: u64, all: u64) -> Duration {
    let nanoseconds = time.as_nanos().saturating_mul(part.min(all).into()) / u128::from(all.max(1));
    Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_due_in_proportion() {
        let hour = Duration::from_hours(1);
        assert_eq!(share(hour, 0, 10), Duration::ZERO);
        assert_eq!(share(hour, 5, 10), hour / 2);
        assert_eq!(share(hour, 20, 10), hour, "the shard has grown");
        assert_eq!(share(hour, 0, 0), Duration::ZERO);
        assert_eq!(
            share(Duration::MAX, u64::MAX, u64::MAX).as_nanos(),
            u64::MAX.into()
        );
    }
}
