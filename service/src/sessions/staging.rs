//! Staged bytes of uploads: files on a local disk, or objects in a bucket with an index in the
//! database.

use std::{collections::HashMap, time::Duration};

use domain::{Checksum, Owner, RandomId};
use futures_util::{FutureExt as _, StreamExt as _, TryStreamExt as _, future::BoxFuture, stream};
use persistence::{Advance, Database, Staging};
use storage::{
    AppendWriter, Bucket, Disk, Object, Segment, SegmentIndex, SegmentUpdate, Store, UploadProgress,
};

use crate::{FileService, Result};

/// The store that has, or will have, an upload's bytes.
enum StagingStore<'a> {
    Disk(&'a Disk),
    Bucket(&'a Bucket),
}

/// Index of an upload's segments in a bucket, valid until another request takes the upload over.
struct DatabaseSegmentIndex {
    database: Database,
    id: RandomId,
    epoch: i64,
}

impl FileService {
    /// Number of staged bytes of an upload; 0 if there are none.
    pub(super) async fn staged_bytes(&self, id: RandomId) -> Result<u64> {
        if let Some(disk) = self.single_disk() {
            return Ok(disk.staged(id).await?);
        }
        match self.0.database.stagings().find_bytes(id).await? {
            Some(bytes) => Ok(bytes),
            None => match self.disk_with(id).await? {
                Some(disk) => Ok(disk.staged(id).await?),
                None => Ok(0),
            },
        }
    }

    /// Numbers of staged bytes of several uploads, in their order.
    pub(super) async fn staged_bytes_of(&self, ids: &[RandomId]) -> Result<Vec<u64>> {
        let indexed = if self.single_disk().is_none() {
            self.0.database.stagings().find_bytes_of(ids).await?
        } else {
            HashMap::new()
        };
        let bytes = ids.iter().map(|id| async {
            match indexed.get(id) {
                Some(bytes) => Ok(*bytes),
                None => match self.disk_with(*id).await? {
                    Some(disk) => Ok(disk.staged(*id).await?),
                    None => Ok(0),
                },
            }
        });
        stream::iter(bytes)
            .buffered(CONCURRENCY)
            .try_collect()
            .await
    }

    /// Returns whether another process that shares a disk is appending to an upload.
    pub(super) async fn is_appended_elsewhere(&self, id: RandomId) -> Result<bool> {
        for disk in self.0.stores.iter().filter_map(Store::as_disk) {
            if disk.is_staged_locked(id).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Ends an append by another process, and returns the number of staged bytes, which stays until
    /// the next append. The caller holds the lock on the upload.
    pub(super) async fn settle_staged(&self, owner: &Owner, id: RandomId) -> Result<u64> {
        let is_staged = if let Some(disk) = self.single_disk() {
            disk.has_staged(id).await?
        } else {
            let store = self.0.database.stagings().find_store(id).await?;
            store.is_some() || self.disk_with(id).await?.is_some()
        };
        if !is_staged {
            return Ok(0);
        }
        let appending = self.append_to(owner, id, Vec::new()).await?;
        Ok(appending.suspend().await?)
    }

    /// Opens an upload for appending. The appended bytes must have these checksums.
    pub(super) async fn append_to(
        &self,
        owner: &Owner,
        id: RandomId,
        checksums: Vec<Checksum>,
    ) -> Result<AppendWriter> {
        match self.staging_store_of(id).await? {
            StagingStore::Disk(disk) => Ok(disk.append(id, checksums).await?.into()),
            StagingStore::Bucket(bucket) => {
                let stagings = self.0.database.stagings();
                let staging = stagings.take_over(id, bucket.name()).await?;
                let index = DatabaseSegmentIndex {
                    database: self.0.database.clone(),
                    id,
                    epoch: staging.epoch,
                };
                Ok(bucket
                    .for_owner(owner)
                    .append(id, progress_of(staging), Box::new(index), checksums)?
                    .into())
            }
        }
    }

    /// Opens the staged bytes of an upload for reading from `start` on.
    pub(super) async fn open_staged(&self, id: RandomId, size: u64, start: u64) -> Result<Object> {
        match self.staging_store_of(id).await? {
            StagingStore::Disk(disk) => Ok(disk.open_staged(id, size, start).await?.into()),
            StagingStore::Bucket(bucket) => {
                let staging = self.0.database.stagings().find(id).await?;
                let known = staging.map(progress_of).unwrap_or_default();
                if known.bytes != size {
                    return Err(storage::Error::Missing(id.to_string()).into());
                }
                Ok(bucket.open_staged(known).into())
            }
        }
    }

    /// Removes the staged bytes of an upload.
    pub(super) async fn remove_staged(&self, id: RandomId) -> Result<()> {
        if let Some(disk) = self.single_disk() {
            return Ok(disk.remove_staged(id).await?);
        }
        if let Some(staging) = self.0.database.stagings().find(id).await? {
            let store = self.0.stores.named(&staging.store)?;
            for segment in &staging.segments {
                store.remove(&segment.key).await?;
            }
            // The objects first: after the rows are gone, nothing refers to them.
            self.0.database.stagings().remove(id).await?;
        }
        for disk in self.0.stores.iter().filter_map(Store::as_disk) {
            disk.remove_staged(id).await?;
        }
        Ok(())
    }

    /// Lists the uploads that have staged bytes.
    pub(super) async fn list_staged(&self) -> Result<Vec<RandomId>> {
        let mut ids = Vec::new();
        for disk in self.0.stores.iter().filter_map(Store::as_disk) {
            ids.extend(disk.list_staged().await?);
        }
        let mut after = None;
        while self.0.stores.has_buckets() {
            let more = self.0.database.stagings().list(after, BATCH).await?;
            let Some(last) = more.last() else {
                break;
            };
            after = Some(*last);
            ids.extend(more);
        }
        Ok(ids)
    }

    /// Time since the staged bytes of an upload on a disk were last changed; those in a bucket have an
    /// index in the database, which therefore knows them.
    pub(super) async fn staged_age(&self, id: RandomId) -> Result<Duration> {
        let mut youngest = Duration::MAX;
        for disk in self.0.stores.iter().filter_map(Store::as_disk) {
            if let Some(age) = disk.staged_age(id).await? {
                youngest = youngest.min(age);
            }
        }
        Ok(youngest)
    }

    /// The disk that has all staged bytes, if there are no buckets.
    fn single_disk(&self) -> Option<&Disk> {
        let stores = &self.0.stores;
        stores.primary().as_disk().filter(|_| !stores.has_buckets())
    }

    /// Finds the store that has an upload's bytes, or will have them if there are none yet.
    async fn staging_store_of(&self, id: RandomId) -> Result<StagingStore<'_>> {
        if let Some(disk) = self.single_disk() {
            return Ok(StagingStore::Disk(disk));
        }
        if let Some(store) = self.0.database.stagings().find_store(id).await?
            && let Some(bucket) = self.0.stores.named(&store)?.as_bucket()
        {
            return Ok(StagingStore::Bucket(bucket));
        }
        // The upload may have begun before the settings changed.
        if let Some(disk) = self.disk_with(id).await? {
            return Ok(StagingStore::Disk(disk));
        }
        Ok(match self.0.stores.primary() {
            Store::Disk(disk) => StagingStore::Disk(disk),
            Store::Bucket(bucket) => StagingStore::Bucket(bucket),
        })
    }

    /// Finds the disk that has staged bytes of an upload.
    async fn disk_with(&self, id: RandomId) -> Result<Option<&Disk>> {
        for disk in self.0.stores.iter().filter_map(Store::as_disk) {
            if disk.has_staged(id).await? {
                return Ok(Some(disk));
            }
        }
        Ok(None)
    }
}

/// Number of rows per query.
const BATCH: u64 = 500;

/// Number of uploads whose bytes are looked up on a disk at a time.
const CONCURRENCY: usize = 8;

impl SegmentIndex for DatabaseSegmentIndex {
    fn advance<'a>(&'a self, step: &'a SegmentUpdate) -> BoxFuture<'a, storage::Result<bool>> {
        async move {
            let advance = Advance {
                bytes: step.bytes,
                hash_state: step.hash_state.clone(),
                added: step.added.iter().map(row).collect(),
                removed: step.removed.clone(),
            };
            let stagings = self.database.stagings();
            stagings
                .advance(self.id, self.epoch, &advance)
                .await
                .map_err(segment_index_error)
        }
        .boxed()
    }

    fn is_superseded(&self) -> BoxFuture<'_, storage::Result<bool>> {
        async move {
            let epoch = self.database.stagings().current_epoch(self.id).await;
            Ok(epoch.map_err(segment_index_error)? != Some(self.epoch))
        }
        .boxed()
    }
}

fn segment_index_error(error: persistence::Error) -> storage::Error {
    storage::Error::SegmentIndex(Box::new(error))
}

fn progress_of(staging: Staging) -> UploadProgress {
    let segments = staging.segments.into_iter().map(|row| Segment {
        start: row.start,
        size: row.size,
        key: row.key,
    });
    UploadProgress {
        bytes: staging.bytes,
        hash_state: staging.hash_state,
        segments: segments.collect(),
    }
}

fn row(segment: &Segment) -> persistence::Segment {
    persistence::Segment {
        start: segment.start,
        size: segment.size,
        key: segment.key.clone(),
    }
}
