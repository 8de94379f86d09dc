//! A content that is arriving in one request.

use std::{mem, sync::Arc};

use bytes::{Bytes, BytesMut};
use domain::{Content, ContentHasher};

use crate::{
    Disk, Placed, Result,
    error::blocking,
    pipeline::{BATCH, Hashes, Pipeline, Syncing, Upkeep},
    placed::Origin,
    staging::StagedFile,
    uploads::StagedUpload,
};

/// A content that is arriving, piece by piece.
///
/// A content that fits in one batch is kept in memory until it is known to be new. Dropping it
/// removes what was written.
pub struct Incoming {
    disk: Disk,
    bytes: Arriving,
}

enum Arriving {
    InMemory(BytesMut),
    Staged(Box<Pipeline>, StagedFile),
}

/// A content that arrived, and is identified, but is not safe yet.
pub struct Received {
    pub(crate) disk: Disk,
    /// What identifies it.
    pub content: Content,
    pub(crate) bytes: ReceivedBytes,
}

pub(crate) enum ReceivedBytes {
    InMemory(Bytes),
    Staged(StagedFile),
    Upload(StagedUpload),
}

impl Incoming {
    pub(crate) fn new(disk: Disk) -> Self {
        Self {
            disk,
            bytes: Arriving::InMemory(BytesMut::new()),
        }
    }

    /// Takes in the next bytes.
    ///
    /// # Errors
    ///
    /// [`Error::Full`](crate::Error::Full) when the disk is; whatever else the disk says.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<()> {
        if let Arriving::InMemory(filling) = &mut self.bytes {
            if filling.len() + bytes.len() <= BATCH {
                filling.extend_from_slice(bytes);
                return Ok(());
            }
            let filled = mem::take(filling);
            let disk = self.disk.clone();
            let staged = blocking(move || disk.staging().create()).await?;
            let file = Arc::clone(&staged.file);
            let upkeep = Upkeep::Sync(Syncing::default());
            let mut pipeline = Pipeline::new(file, Hashes::default(), upkeep);
            pipeline.write(&filled).await?;
            self.bytes = Arriving::Staged(Box::new(pipeline), staged);
        }
        match &mut self.bytes {
            Arriving::Staged(pipeline, _) => pipeline.write(bytes).await,
            Arriving::InMemory(_) => Ok(()),
        }
    }

    /// Ends the content, and says what identifies it.
    ///
    /// # Errors
    ///
    /// As [`Incoming::write`].
    pub async fn finish(self) -> Result<Received> {
        let (hasher, bytes) = match self.bytes {
            Arriving::InMemory(filled) => {
                let bytes = filled.freeze();
                let same_bytes = bytes.clone();
                let hashing = blocking(move || {
                    let mut hasher = ContentHasher::default();
                    hasher.update(&same_bytes);
                    Ok(hasher)
                });
                (hashing.await?, ReceivedBytes::InMemory(bytes))
            }
            Arriving::Staged(mut pipeline, staged) => {
                let hashes = pipeline.settle().await?;
                (hashes.content, ReceivedBytes::Staged(staged))
            }
        };
        Ok(Received {
            disk: self.disk,
            content: hasher.finish(),
            bytes,
        })
    }
}

impl Received {
    /// Makes the bytes safe where they will stay: written, synced and named.
    ///
    /// # Errors
    ///
    /// [`Error::Full`](crate::Error::Full) when the disk is; whatever else the disk says. Nothing
    /// is left of it then, except for what was staged of a resumable upload.
    pub async fn place(self) -> Result<Placed> {
        blocking(move || {
            let origin = Origin::of(self.bytes, self.disk.staging())?;
            Placed::new(self.disk, origin, &self.content.sha1)
        })
        .await
    }
}
