//! Appending bytes to a resumable upload on a disk.

use std::{io, mem, os::unix::fs::FileExt as _, sync::Arc};

use domain::{Checksum, Content, ContentHasher, RandomId};
use tokio::runtime::Handle;

use super::{staged::StagedUpload, state::State};
use crate::{
    blocking::blocking,
    boxed,
    disk::{
        commit::ObjectSource,
        layout::Disk,
        sync::{BackgroundSync, UploadSync},
        writer::FileWriter,
    },
    error::Result,
    hashing::Hashes,
    sizes::BATCH_SIZE,
};

/// Appends bytes to an upload. No other request can append meanwhile.
///
/// Dropping it keeps the bytes, unless they were to be verified.
pub struct DiskAppendWriter(Option<Open>);

struct Open {
    disk: Disk,
    staged: StagedUpload,
    writer: FileWriter,
    /// The hash of the upload's earlier bytes.
    before: ContentHasher,
    is_verified: bool,
    appended: u64,
}

/// The outcome of an append.
pub(crate) enum DiskAppendOutcome {
    /// The bytes are kept. These are all bytes of the upload so far.
    Appended(Box<DiskAppendedBytes>),
    /// The bytes do not match the checksum, and were dropped. The upload has this many bytes.
    ChecksumMismatch(u64),
}

/// All bytes of an upload so far.
pub(crate) struct DiskAppendedBytes {
    disk: Disk,
    staged: StagedUpload,
    hasher: ContentHasher,
}

impl Disk {
    /// Starts to append to an upload. The appended bytes must match the checksums.
    ///
    /// # Errors
    ///
    /// [`Error::InUse`](crate::Error::InUse) if another request is appending, and does not stop in
    /// time.
    #[boxed]
    pub async fn append(&self, id: RandomId, checksums: Vec<Checksum>) -> Result<DiskAppendWriter> {
        let disk = self.clone();
        blocking(move || {
            let (staged, state) = StagedUpload::open(&disk, id)?;
            DiskAppendWriter::new(disk, staged, state, checksums)
        })
        .await
    }
}

impl DiskAppendWriter {
    fn new(
        disk: Disk,
        staged: StagedUpload,
        state: State,
        checksums: Vec<Checksum>,
    ) -> Result<Self> {
        let synced = state.synced;
        let before = hash_counted(&staged, state)?;
        let is_verified = !checksums.is_empty();
        if is_verified {
            staged.state.hold_from(Some(before.size()))?;
        }
        let hashes = Hashes {
            content: before.clone(),
            checksums: checksums.into_iter().map(Checksum::verifier).collect(),
            is_skipped: false,
        };
        let sync = UploadSync::new(Arc::clone(&staged.state), synced, is_verified);
        let sync = BackgroundSync::Upload(sync);
        let (file, reserve) = (Arc::clone(&staged.file), disk.reserve());
        let writer = FileWriter::new(file, hashes, sync, reserve, disk.memory());
        Ok(Self(Some(Open {
            disk,
            staged,
            writer,
            before,
            is_verified,
            appended: 0,
        })))
    }

    pub(crate) fn offset(&self) -> u64 {
        self.0
            .as_ref()
            .map_or(0, |open| open.before.size() + open.appended)
    }

    pub(crate) async fn is_superseded(&self) -> Result<bool> {
        let Some(open) = &self.0 else {
            return Ok(false);
        };
        let state = Arc::clone(&open.staged.state);
        blocking(move || state.is_superseded()).await
    }

    pub(crate) async fn write(&mut self, bytes: &[u8]) -> Result<()> {
        match &mut self.0 {
            Some(open) => {
                open.appended += bytes.len() as u64;
                open.writer.write(bytes).await
            }
            None => Ok(()),
        }
    }

    /// Ends the append after all bytes of the request.
    pub(crate) async fn end(mut self) -> Result<DiskAppendOutcome> {
        match self.0.take() {
            Some(open) => open.end(true).await,
            None => Ok(DiskAppendOutcome::ChecksumMismatch(0)),
        }
    }

    /// Ends the append before all bytes of the request arrived. Returns the upload's offset.
    pub(crate) async fn suspend(mut self) -> Result<u64> {
        match self.0.take() {
            Some(open) => match open.end(false).await? {
                DiskAppendOutcome::Appended(appended) => Ok(appended.offset()),
                DiskAppendOutcome::ChecksumMismatch(offset) => Ok(offset),
            },
            None => Ok(0),
        }
    }
}

impl Open {
    async fn end(mut self, is_complete: bool) -> Result<DiskAppendOutcome> {
        let settled = match self.writer.settle().await {
            Ok(hashes) => Some(hashes),
            // The written bytes count. The next append computes their hash.
            Err(error) if !self.is_verified => return Err(error),
            Err(error) if is_complete => {
                blocking(move || self.roll_back()).await?;
                return Err(error);
            }
            Err(_) => None,
        };
        let verify = |hashes: Box<Hashes>| {
            let mut checksums = hashes.checksums.into_iter();
            let is_right = checksums.all(|checksum| is_complete && checksum.matches());
            is_right.then_some(hashes.content)
        };
        let verified = settled.and_then(verify);
        blocking(move || {
            let Some(hasher) = verified else {
                let offset = self.roll_back()?;
                return Ok(DiskAppendOutcome::ChecksumMismatch(offset));
            };
            if self.staged.state.read()?.is_lost {
                return Err(io::Error::other("written bytes were lost").into());
            }
            if self.appended > 0 {
                self.staged.state.save(&hasher)?;
            }
            if self.is_verified {
                self.staged.state.hold_from(None)?;
            }
            Ok(DiskAppendOutcome::Appended(Box::new(DiskAppendedBytes {
                disk: self.disk,
                staged: self.staged,
                hasher,
            })))
        })
        .await
    }

    /// Drops the appended bytes, and returns the number of bytes that are left.
    fn roll_back(self) -> Result<u64> {
        self.staged.file.set_len(self.before.size())?;
        self.staged.state.save(&self.before)?;
        self.staged.state.hold_from(None)?;
        Ok(self.before.size())
    }
}

impl Drop for DiskAppendWriter {
    fn drop(&mut self) {
        let (Some(open), Ok(runtime)) = (mem::take(&mut self.0), Handle::try_current()) else {
            return;
        };
        runtime.spawn(async move {
            // Bytes that could not be written do not count either.
            let _ = open.end(false).await;
        });
    }
}

impl DiskAppendedBytes {
    pub(crate) fn offset(&self) -> u64 {
        self.hasher.size()
    }

    pub(crate) fn content(&self) -> Content {
        self.hasher.clone().finish()
    }

    /// Waits until the bytes are on the disk, and records it.
    ///
    /// # Errors
    ///
    /// If the disk fails. None of the bytes count then.
    pub(crate) async fn sync(&self) -> Result<()> {
        let (state, hasher) = (Arc::clone(&self.staged.state), self.hasher.clone());
        blocking(move || state.begin_sync()?.run(&hasher)).await
    }

    /// Takes the bytes as a complete object.
    pub(crate) fn finish(self) -> (Disk, ContentHasher, ObjectSource) {
        let source = ObjectSource::Upload(self.staged);
        (self.disk, self.hasher, source)
    }
}

/// Returns the hash of the bytes that count, and drops the others.
fn hash_counted(staged: &StagedUpload, state: State) -> Result<ContentHasher> {
    let mut size = staged.file.metadata()?.len();
    if let Some(counting) = state.counting.filter(|counting| *counting < size) {
        staged.file.set_len(counting)?;
        size = counting;
    }
    let newest = state.newest.filter(|newest| newest.size() <= size);
    let mut hasher = newest.unwrap_or_default();
    let is_behind = hasher.size() < size;
    if is_behind {
        hash_rest(staged, &mut hasher, size)?;
    }
    if is_behind || state.counting.is_some() {
        staged.state.save(&hasher)?;
        staged.state.hold_from(None)?;
    }
    Ok(hasher)
}

/// Reads and hashes the bytes that `hasher` does not contain yet.
fn hash_rest(staged: &StagedUpload, hasher: &mut ContentHasher, size: u64) -> Result<()> {
    tracing::debug!(
        from = hasher.size(),
        to = size,
        "hashing staged bytes again"
    );
    let mut piece = vec![0; BATCH_SIZE];
    while hasher.size() < size {
        let left = usize::try_from(size - hasher.size()).unwrap_or(usize::MAX);
        let piece = &mut piece[..left.min(BATCH_SIZE)];
        staged.file.read_exact_at(piece, hasher.size())?;
        hasher.update(piece);
    }
    Ok(())
}
