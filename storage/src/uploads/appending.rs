//! Bytes that are being appended to an upload.

use std::{mem, os::unix::fs::FileExt as _, sync::Arc};

use domain::{Checksum, Content, ContentHasher};
use tokio::runtime::Handle;

use super::StagedUpload;
use crate::{
    Disk, Received, Result,
    error::blocking,
    incoming::ReceivedBytes,
    pipeline::{Hashes, Pipeline, Upkeep},
};

/// How many bytes are read at a time when they have to be hashed anew.
const PIECE: usize = 512 * 1024;

/// An upload that bytes are being appended to; nobody else can do so meanwhile.
///
/// Dropping it keeps what has come, unless that was to be verified.
pub struct Appending(Option<Open>);

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
pub enum End {
    /// The bytes are kept; this is all of the upload so far.
    Kept(Kept),
    /// They do not have the checksum, and were dropped; this many are there.
    WrongChecksum(u64),
}

/// An upload's bytes so far.
pub struct Kept {
    disk: Disk,
    staged: StagedUpload,
    hasher: ContentHasher,
}

impl Appending {
    pub(super) fn begin(
        disk: Disk,
        staged: StagedUpload,
        checksums: Vec<Checksum>,
    ) -> Result<Self> {
        let before = known(&staged)?;
        let is_verified = !checksums.is_empty();
        if is_verified {
            staged.state.hold_from(before.size())?;
        }
        let hashes = Hashes {
            content: before.clone(),
            checksums: checksums.into_iter().map(Checksum::verifier).collect(),
        };
        let upkeep = Upkeep::save(Arc::clone(&staged.state), before.size());
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
    pub fn offset(&self) -> u64 {
        self.0
            .as_ref()
            .map_or(0, |open| open.before.size() + open.appended)
    }

    /// Takes in the next bytes.
    ///
    /// # Errors
    ///
    /// [`Error::Full`](crate::Error::Full) when the disk is; whatever else the disk says.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<()> {
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
    /// As [`Appending::write`].
    pub async fn end(mut self) -> Result<End> {
        match self.0.take() {
            Some(open) => open.end(true).await,
            None => Ok(End::WrongChecksum(0)),
        }
    }

    /// Ends appending when not all bytes have come, and gives how many are there.
    ///
    /// What could not be verified is dropped, everything else is kept.
    ///
    /// # Errors
    ///
    /// As [`Appending::write`].
    pub async fn break_off(mut self) -> Result<u64> {
        match self.0.take() {
            Some(open) => match open.end(false).await? {
                End::Kept(kept) => Ok(kept.offset()),
                End::WrongChecksum(offset) => Ok(offset),
            },
            None => Ok(0),
        }
    }
}

impl Open {
    async fn end(mut self, is_whole: bool) -> Result<End> {
        let (hasher, is_right) = match self.pipeline.settle().await {
            Ok(hashes) => {
                let mut checksums = hashes.checksums.into_iter();
                (
                    hashes.content,
                    checksums.all(|checksum| checksum.is_right()),
                )
            }
            // What was written counts; its hashes are computed from it next time.
            Err(error) if !self.is_verified => return Err(error),
            Err(_) => (self.before.clone(), false),
        };
        let is_kept = !self.is_verified || is_whole && is_right;
        let hasher = if is_kept { hasher } else { self.before };
        blocking(move || {
            if !is_kept {
                self.staged.file.set_len(hasher.size())?;
            }
            if self.appended > 0 {
                self.staged.state.save(&hasher)?;
            }
            if self.is_verified {
                self.staged.state.release()?;
            }
            if !is_kept {
                return Ok(End::WrongChecksum(hasher.size()));
            }
            Ok(End::Kept(Kept {
                disk: self.disk,
                staged: self.staged,
                hasher,
            }))
        })
        .await
    }
}

impl Drop for Appending {
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

impl Kept {
    /// How many bytes there are.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.hasher.size()
    }

    /// What identifies the bytes.
    #[must_use]
    pub fn content(&self) -> Content {
        self.hasher.clone().finish()
    }

    /// Takes the bytes for all that will come.
    #[must_use]
    pub fn finish(self) -> Received {
        Received {
            content: self.hasher.finish(),
            disk: self.disk,
            bytes: ReceivedBytes::Upload(self.staged),
        }
    }
}

/// What the bytes that are there have come to; those that were to be verified, and were not, are
/// dropped.
fn known(staged: &StagedUpload) -> Result<ContentHasher> {
    let hold = staged.state.hold()?;
    let mut size = staged.file.metadata()?.len();
    if hold != u64::MAX {
        if hold < size {
            staged.file.set_len(hold)?;
            size = hold;
        }
        staged.state.release()?;
    }
    let saved = staged.state.saved()?;
    let mut hasher = saved
        .filter(|saved| saved.size() <= size)
        .unwrap_or_default();
    if hasher.size() < size {
        catch_up(staged, &mut hasher, size)?;
        staged.state.save(&hasher)?;
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
