//! A content that is arriving in one request.

use std::{mem, sync::Arc};

use bytes::{Bytes, BytesMut};
use domain::{Address, Content, ContentHasher};

use crate::{
    Bucket, Operation, Placed, Result, Store,
    bucket::{JoinedSegments, Sending},
    error::blocking,
    key,
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
    store: Store,
    /// What it is, if that is known: nothing is hashed then.
    known: Option<Content>,
    bytes: Arriving,
}

enum Arriving {
    InMemory(BytesMut),
    Staged(Box<Pipeline>, StagedFile),
    Sending(Box<Sending>),
}

/// A content that arrived, and is identified, but is not safe yet.
pub struct Received {
    store: Store,
    key: String,
    /// What identifies it.
    pub content: Content,
    bytes: ReceivedBytes,
}

pub(crate) enum ReceivedBytes {
    InMemory(Bytes),
    Staged(StagedFile),
    Upload(StagedUpload),
    Sending(Box<Sending>),
    Segments(Box<JoinedSegments>),
}

impl Incoming {
    pub(crate) fn new(store: Store, known: Option<Content>) -> Self {
        Self {
            store,
            known,
            bytes: Arriving::InMemory(BytesMut::new()),
        }
    }

    /// Takes in the next bytes.
    ///
    /// # Errors
    ///
    /// [`Error::Full`](crate::Error::Full) when the store is; whatever else the store says.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<()> {
        if let Arriving::InMemory(filling) = &mut self.bytes {
            if filling.len() + bytes.len() <= BATCH {
                filling.extend_from_slice(bytes);
                return Ok(());
            }
            let filled = mem::take(filling);
            self.bytes = begin(&self.store, self.known.is_some()).await?;
            self.pass_on(&filled).await?;
        }
        self.pass_on(bytes).await
    }

    async fn pass_on(&mut self, bytes: &[u8]) -> Result<()> {
        match &mut self.bytes {
            Arriving::Staged(pipeline, _) => pipeline.write(bytes).await,
            Arriving::Sending(sending) => sending.write(bytes).await,
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
            Arriving::InMemory(filled) if self.known.is_some() => {
                let bytes = ReceivedBytes::InMemory(filled.freeze());
                (ContentHasher::default(), bytes)
            }
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
            Arriving::Sending(mut sending) => {
                (sending.settle().await?, ReceivedBytes::Sending(sending))
            }
        };
        let content = self.known.unwrap_or_else(|| hasher.finish());
        Received::new(self.store, content, bytes)
    }
}

/// Begins to write what does not fit in memory.
async fn begin(store: &Store, is_known: bool) -> Result<Arriving> {
    match store {
        Store::Disk(disk) => {
            let disk = disk.clone();
            let staged = blocking(move || disk.staging().create()).await?;
            let file = Arc::clone(&staged.file);
            let upkeep = Upkeep::Sync(Syncing::default());
            let hashes = Hashes {
                is_needless: is_known,
                ..Hashes::default()
            };
            let pipeline = Pipeline::new(file, hashes, upkeep);
            Ok(Arriving::Staged(Box::new(pipeline), staged))
        }
        Store::Bucket(bucket) => {
            let sending = Sending::begin(bucket, Bucket::fresh_key()?, is_known).await?;
            Ok(Arriving::Sending(Box::new(sending)))
        }
    }
}

impl Received {
    pub(crate) fn new(store: Store, content: Content, bytes: ReceivedBytes) -> Result<Self> {
        let key = match (&store, &bytes) {
            (_, ReceivedBytes::Sending(sending)) => sending.key.clone(),
            (Store::Bucket(_), _) => Bucket::fresh_key()?,
            (Store::Disk(_), _) => key::fresh(&content.sha1)?,
        };
        Ok(Self {
            store,
            key,
            content,
            bytes,
        })
    }

    /// Where the bytes will stay, and whether there is to be a record of that before: the store
    /// keeps no mark of its own.
    #[must_use]
    pub fn address(&self) -> (Address, bool) {
        let address = Address {
            store: self.store.name().to_owned(),
            key: self.key.clone(),
        };
        (address, !self.store.keeps_marks())
    }

    /// Makes the bytes safe where they will stay: written, synced and named.
    ///
    /// # Errors
    ///
    /// [`Error::Full`](crate::Error::Full) when the store is; whatever else the store says. Nothing
    /// is left of it then, except for what was staged of a resumable upload.
    pub async fn place(self) -> Result<Placed> {
        match self.store {
            Store::Disk(disk) => {
                let meter = disk.clone();
                let placing = blocking(move || {
                    let origin = Origin::of(self.bytes, disk.staging())?;
                    Placed::on_disk(disk, origin, self.key)
                });
                meter.meter().time(Operation::Write, placing).await
            }
            Store::Bucket(bucket) => {
                let written = match self.bytes {
                    ReceivedBytes::InMemory(bytes) => bucket.put(&self.key, bytes).await,
                    ReceivedBytes::Sending(sending) => sending.end().await,
                    ReceivedBytes::Segments(segments) => segments.join(&self.key).await,
                    // These are a disk's.
                    ReceivedBytes::Staged(_) | ReceivedBytes::Upload(_) => Ok(()),
                };
                let placed = Placed::in_bucket(bucket.clone(), self.key);
                let Err(error) = written else {
                    return Ok(placed);
                };
                // An answer that came late, or not at all, may have been that it is there. If the
                // store says nothing now, somebody else looks after it.
                match bucket.size(&placed.address().key).await {
                    Ok(Some(size)) if size == self.content.size => Ok(placed),
                    Ok(Some(_)) => {
                        let _ = placed.discard().await;
                        Err(error)
                    }
                    Ok(None) | Err(_) => Err(error),
                }
            }
        }
    }
}
