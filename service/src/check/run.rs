//! Runs a check.

use persistence::Shard;
use storage::Store;

use super::{
    bucket_index::BucketIndex,
    report::{CheckOptions, CheckProgress, Summary},
    state::{Check, Steps},
};
use crate::{FileService, Result};

/// Number of parts into which rows and objects are divided.
const PARTS: u64 = 256;

impl FileService {
    /// Compares rows and bytes in bounded memory, and reports differences.
    ///
    /// # Errors
    ///
    /// When a store or the database fails, so that the check cannot continue.
    pub async fn check(
        &self,
        options: CheckOptions,
        progress: &mut dyn CheckProgress,
    ) -> Result<Summary> {
        let stores: Vec<Store> = self.0.stores.iter().cloned().collect();
        let buckets: Vec<&Store> = stores
            .iter()
            .filter(|store| store.as_bucket().is_some())
            .collect();
        let mut check = Check {
            service: self,
            options,
            progress,
            summary: Summary::default(),
            index: BucketIndex::new()?,
            // A younger object may have a row that was inserted after the rows were read.
            before: self.0.clock.now().before(self.0.limits.orphan_age),
            may_remove: true,
            steps: Steps {
                done: 0,
                all: PARTS * (1 + buckets.len() as u64),
            },
        };
        for (last_byte, shard) in (0..=u8::MAX).zip(Shard::all()) {
            check.rows(shard).await?;
            for disk in stores.iter().filter_map(Store::as_disk) {
                check.objects(disk, shard, last_byte).await?;
            }
            check.step();
        }
        for store in buckets {
            for first_byte in 0..=u8::MAX {
                check.part_of_bucket(store, first_byte).await?;
                check.step();
            }
            check.segments(store).await?;
        }
        check.entries().await?;
        check.accounts().await?;
        Ok(check.summary)
    }
}
