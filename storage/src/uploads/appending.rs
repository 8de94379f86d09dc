//! Bytes that are being appended to an upload.

use std::{io, mem, os::unix::fs::FileExt as _, sync::Arc};

use domain::{Checksum, Content, ContentHasher};
use tokio::runtime::Handle;

use super::{StagedUpload, state::State};
use crate::{
    Disk, Received, Result, Store,
    error::blocking,
    incoming::ReceivedBytes,
    pipeline::{Hashes, Pipeline, Saving, Upkeep},
};

/// How many bytes are read at a time when they have to be hashed anew.
const PIECE: usize = 512 * 1024;

/// An upload that bytes are being appended to; nobody else can do so meanwhile.
///
/// Dropping it keeps what has come, unless that was to be verified.
pub(crate) struct DiskAppending(Option<Open>);

struct Open {
    disk: Disk,
    staged: StagedUpload,
    pipeline: Pipeline,
    /// What the upload had before.
    before: ContentHasher,
    is_verified: bool,
    appended: u64,
}

/// What came of appending.
pub(crate) enum DiskEnd {
    /// The bytes are kept; this is all of the upload so far.
    Kept(Box<DiskKept>),
    /// They do not have the checksum, and were dropped; this many are there.
    WrongChecksum(u64),
}

/// An upload's bytes so far.
pub(crate) struct DiskKept {
    disk: Disk,
    staged: StagedUpload,
    hasher: ContentHasher,
}

impl DiskAppending {
    pub(super) fn begin(
        disk: Disk,
        staged: StagedUpload,
        state: State,
        checksums: Vec<Checksum>,
    ) -> Result<Self> {
        let synced = state.synced;
        let before = known(&staged, state)?;
        let is_verified = !checksums.is_empty();
        if is_verified {
            staged.state.hold_from(Some(before.size()))?;
        }
        let hashes = Hashes {
            content: before.clone(),
            checksums: checksums.into_iter().map(Checksum::verifier).collect(),
            is_needless: false,
        };
        let upkeep = Upkeep::Save(Saving::new(Arc::clone(&staged.state), synced, is_verified));
        let pipeline = Pipeline::new(Arc::clone(&staged.file), hashes, upkeep);
        Ok(Self(Some(Open {
            disk,
            staged,
            pipeline,
            before,
            is_verified,
            appended: 0,
        })))
    }

    /// How many bytes the upload has with those appended.
    #[must_use]
    pub(crate) fn offset(&self) -> u64 {
        self.0
            .as_ref()
            .map_or(0, |open| open.before.size() + open.appended)
    }

    /// Whether another process waits to go on with the upload.
    ///
    /// # Errors
    ///
    /// When the disk fails.
    pub(crate) async fn is_wanted(&self) -> Result<bool> {
        let Some(open) = &self.0 else {
            return Ok(false);
        };
        let state = Arc::clone(&open.staged.state);
        blocking(move || state.is_wanted()).await
    }

    /// Takes in the next bytes.
    ///
    /// # Errors
    ///
    /// [`Error::Full`](crate::Error::Full) when the disk is; whatever else the disk says.
    pub(crate) async fn write(&mut self, bytes: &[u8]) -> Result<()> {
        match &mut self.0 {
            Some(open) => {
                open.appended += bytes.len() as u64;
                open.pipeline.write(bytes).await
            }
            None => Ok(()),
        }
    }

    /// Ends appending when all bytes have come that were to come.
    ///
    /// # Errors
    ///
    /// As [`DiskAppending::write`].
    pub(crate) async fn end(mut self) -> Result<DiskEnd> {
        match self.0.take() {
            Some(open) => open.end(true).await,
            None => Ok(DiskEnd::WrongChecksum(0)),
        }
    }

    /// Ends appending when not all bytes have come, and gives how many are there.
    ///
    /// What could not be verified is dropped, everything else is kept.
    ///
    /// # Errors
    ///
    /// As [`DiskAppending::write`].
    pub(crate) async fn break_off(mut self) -> Result<u64> {
        match self.0.take() {
            Some(open) => match open.end(false).await? {
                DiskEnd::Kept(kept) => Ok(kept.offset()),
                DiskEnd::WrongChecksum(offset) => Ok(offset),
            },
            None => Ok(0),
        }
    }
}

impl Open {
    async fn end(mut self, is_whole: bool) -> Result<DiskEnd> {
        let settled = match self.pipeline.settle().await {
            Ok(hashes) => Some(hashes),
            // What was written counts; its hashes are computed from it next time.
            Err(error) if !self.is_verified => return Err(error),
            Err(error) if is_whole => {
                blocking(move || self.take_back()).await?;
                return Err(error);
            }
            Err(_) => None,
        };
        let is_right = |hashes: Box<Hashes>| {
            let mut checksums = hashes.checksums.into_iter();
            let is_right = checksums.all(|checksum| is_whole && checksum.matches());
            is_right.then_some(hashes.content)
        };
        let kept = settled.and_then(is_right);
        blocking(move || {
            let Some(hasher) = kept else {
                return self.take_back().map(DiskEnd::WrongChecksum);
            };
            if self.staged.state.read()?.is_lost {
                return Err(io::Error::other("bytes were lost that had been written").into());
            }
            if self.appended > 0 {
                self.staged.state.save(&hasher)?;
            }
            if self.is_verified {
                self.staged.state.hold_from(None)?;
            }
            Ok(DiskEnd::Kept(Box::new(DiskKept {
                disk: self.disk,
                staged: self.staged,
                hasher,
            })))
        })
        .await
    }

    /// Drops what was appended, and gives how many bytes there are.
    fn take_back(self) -> Result<u64> {
        self.staged.file.set_len(self.before.size())?;
        self.staged.state.save(&self.before)?;
        self.staged.state.hold_from(None)?;
        Ok(self.before.size())
    }
}

impl Drop for DiskAppending {
    fn drop(&mut self) {
        let (Some(open), Ok(runtime)) = (mem::take(&mut self.0), Handle::try_current()) else {
            return;
        };
        runtime.spawn(async move {
            // What could not be written is not counted either.
            let _ = open.end(false).await;
        });
    }
}

impl DiskKept {
    /// How many bytes there are.
    #[must_use]
    pub(crate) fn offset(&self) -> u64 {
        self.hasher.size()
    }

    /// What identifies the bytes.
    #[must_use]
    pub(crate) fn content(&self) -> Content {
        self.hasher.clone().finish()
    }

    /// Waits until the bytes are on the disk, which is noted.
    ///
    /// # Errors
    ///
    /// When the disk fails; none of the bytes counts then.
    pub(crate) async fn sync(&self) -> Result<()> {
        let (state, hasher) = (Arc::clone(&self.staged.state), self.hasher.clone());
        blocking(move || state.begin_sync()?.run(&hasher)).await
    }

    /// Takes the bytes for all that will come.
    pub(crate) fn finish(self) -> Result<Received> {
        Received::new(
            Store::Disk(self.disk),
            self.hasher.finish(),
            ReceivedBytes::Upload(self.staged),
        )
    }
}

/// What the bytes that count have come to; the others are dropped.
fn known(staged: &StagedUpload, state: State) -> Result<ContentHasher> {
    let mut size = staged.file.metadata()?.len();
    if let Some(counting) = state.counting.filter(|counting| *counting < size) {
        staged.file.set_len(counting)?;
        size = counting;
    }
    let newest = state.newest.filter(|newest| newest.size() <= size);
    let mut hasher = newest.unwrap_or_default();
    let is_behind = hasher.size() < size;
    if is_behind {
        catch_up(staged, &mut hasher, size)?;
    }
    if is_behind || state.counting.is_some() {
        staged.state.save(&hasher)?;
        staged.state.hold_from(None)?;
    }
    Ok(hasher)
}

fn catch_up(staged: &StagedUpload, hasher: &mut ContentHasher, size: u64) -> Result<()> {
    tracing::debug!(from = hasher.size(), to = size, "hashing staged bytes anew");
    let mut piece = vec![0; PIECE];
    while hasher.size() < size {
        let left = usize::try_from(size - hasher.size()).unwrap_or(usize::MAX);
        let piece = &mut piece[..left.min(PIECE)];
        staged.file.read_exact_at(piece, hasher.size())?;
        hasher.update(piece);
    }
    Ok(())
}
