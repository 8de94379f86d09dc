//! A resumable upload of a test, and an index of its segments in memory.

use std::sync::{Arc, Mutex, MutexGuard};

use domain::{Checksum, RandomId};
use futures_util::future::{BoxFuture, FutureExt as _};
use harness::random;
use storage::{
    AppendWriter, Error, Object, Result, Segment, SegmentIndex, SegmentUpdate, Store,
    UploadProgress,
};

use crate::{collect, fixture::TestStore, range};

/// An upload in a store of any kind.
pub(crate) struct Upload<'a> {
    fixture: &'a TestStore,
    pub(crate) id: RandomId,
    /// The index of its segments in a bucket. A disk needs none.
    pub(crate) index: MemoryIndex,
}

impl<'a> Upload<'a> {
    pub(crate) fn new(fixture: &'a TestStore) -> Self {
        let id: [u8; 16] = random(16).try_into().unwrap();
        Self {
            fixture,
            id: id.into(),
            index: MemoryIndex::default(),
        }
    }

    /// Starts to append, and takes the upload over from any earlier writer.
    pub(crate) async fn append(&self, checksums: Vec<Checksum>) -> Result<AppendWriter> {
        match &self.fixture.store {
            Store::Disk(disk) => Ok(disk.append(self.id, checksums).await?.into()),
            Store::Bucket(bucket) => {
                let (progress, index) = self.index.take_over();
                Ok(bucket.append(self.id, progress, index, checksums)?.into())
            }
        }
    }

    /// Returns the number of its bytes that count.
    pub(crate) async fn staged(&self) -> usize {
        let staged = match &self.fixture.store {
            Store::Disk(disk) => disk.staged(self.id).await.unwrap(),
            Store::Bucket(_) => self.index.progress().bytes,
        };
        usize::try_from(staged).unwrap()
    }

    /// Reads its bytes that count, from `start` on.
    pub(crate) async fn read_staged(&self, start: usize) -> Vec<u8> {
        let end = self.staged().await;
        let object: Object = match &self.fixture.store {
            Store::Disk(disk) => disk
                .open_staged(self.id, end as u64, start as u64)
                .await
                .unwrap()
                .into(),
            Store::Bucket(bucket) => bucket.open_staged(self.index.progress()).into(),
        };
        assert_eq!(object.size(), end as u64);
        collect(object, range(start, end)).await.unwrap()
    }

    /// Removes its staged bytes.
    pub(crate) async fn remove(&self) {
        match &self.fixture.store {
            Store::Disk(disk) => disk.remove_staged(self.id).await.unwrap(),
            Store::Bucket(bucket) => {
                for segment in self.index.progress().segments {
                    bucket.remove(&segment.key).await.unwrap();
                }
            }
        }
    }
}

/// The index of an upload's segments. It knows the newest writer, and can fail.
#[derive(Clone, Default)]
pub(crate) struct MemoryIndex(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    progress: UploadProgress,
    /// The number of the newest writer.
    newest: u64,
    /// How many of the next updates fail.
    failures: u32,
}

impl MemoryIndex {
    /// Takes the upload over for a new writer.
    pub(crate) fn take_over(&self) -> (UploadProgress, Box<dyn SegmentIndex>) {
        let mut state = self.state();
        state.newest += 1;
        let lock = UploadLock {
            index: self.clone(),
            number: state.newest,
        };
        (state.progress.clone(), Box::new(lock))
    }

    /// Returns the bytes that count, and checks that their segments have no gap.
    pub(crate) fn progress(&self) -> UploadProgress {
        let progress = self.state().progress.clone();
        let mut end = 0;
        for segment in &progress.segments {
            assert_eq!(
                segment.start, end,
                "no byte is missing: {:?}",
                progress.segments
            );
            end += segment.size;
        }
        assert_eq!(progress.bytes, end, "{:?}", progress.segments);
        progress
    }

    /// The keys of the segments that count.
    pub(crate) fn keys(&self) -> std::collections::BTreeSet<String> {
        let segments = self.progress().segments.into_iter();
        segments.map(|segment| segment.key).collect()
    }

    /// Makes the next updates fail.
    pub(crate) fn fail(&self, times: u32) {
        self.state().failures = times;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }
}

/// The index as one writer sees it.
struct UploadLock {
    index: MemoryIndex,
    number: u64,
}

impl SegmentIndex for UploadLock {
    fn advance<'a>(&'a self, update: &'a SegmentUpdate) -> BoxFuture<'a, Result<bool>> {
        async move {
            // A database does not answer at once either.
            tokio::task::yield_now().await;
            let mut state = self.index.state();
            if let Some(left) = state.failures.checked_sub(1) {
                state.failures = left;
                return Err(Error::SegmentIndex("the index is unavailable".into()));
            }
            if state.newest != self.number {
                return Ok(false);
            }
            let progress = &mut state.progress;
            let is_left = |segment: &Segment| !update.removed.contains(&segment.start);
            progress.segments.retain(is_left);
            progress.segments.extend_from_slice(&update.added);
            progress.segments.sort_by_key(|segment| segment.start);
            progress.bytes = update.bytes;
            progress.hash_state = Some(update.hash_state.clone());
            Ok(true)
        }
        .boxed()
    }

    fn is_superseded(&self) -> BoxFuture<'_, Result<bool>> {
        async move { Ok(self.index.state().newest != self.number) }.boxed()
    }
}
