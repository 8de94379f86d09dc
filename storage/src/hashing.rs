//! Hashing bytes on one thread while more of them arrive on another.

use std::mem;

use bytes::{Bytes, BytesMut};
use domain::{ChecksumVerifier, ContentHasher};
use tokio::task::{JoinHandle, spawn_blocking};

use crate::{
    boxed,
    error::{Error, Result},
    sizes::BATCH_SIZE,
};

/// The hashes that are computed while bytes are written.
#[derive(Clone, Default)]
pub(crate) struct Hashes {
    /// The hash of the whole content.
    pub(crate) content: ContentHasher,
    /// The checksums of the bytes of this request.
    pub(crate) checksums: Vec<ChecksumVerifier>,
    /// Nothing is hashed, since the content is known already.
    pub(crate) is_skipped: bool,
}

impl Hashes {
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        if self.is_skipped {
            return;
        }
        self.content.update(bytes);
        for checksum in &mut self.checksums {
            checksum.update(bytes);
        }
    }
}

/// Collects bytes in batches, and hashes one batch while the next one fills.
#[derive(Default)]
pub struct BackgroundHasher {
    filling: BytesMut,
    hashing: Option<JoinHandle<Box<ContentHasher>>>,
    /// Bytes are only collected, since the content is known already.
    is_skipped: bool,
}

impl BackgroundHasher {
    /// Returns a hasher, or one that only collects batches if the content `is_known`.
    pub(crate) fn unless_known(is_known: bool) -> Self {
        Self {
            is_skipped: is_known,
            ..Self::default()
        }
    }

    /// Takes as many of the next bytes as fit into the batch. Returns their number, and the batch
    /// if it is full.
    ///
    /// # Errors
    ///
    /// If the runtime is shutting down.
    pub(crate) async fn fill(&mut self, bytes: &[u8]) -> Result<(usize, Option<Bytes>)> {
        if self.filling.capacity() == 0 {
            self.filling.reserve(BATCH_SIZE);
        }
        let fitting = bytes.len().min(BATCH_SIZE - self.filling.len());
        self.filling.extend_from_slice(&bytes[..fitting]);
        if self.filling.len() < BATCH_SIZE {
            return Ok((fitting, None));
        }
        Ok((fitting, Some(self.hash_batch().await?)))
    }

    /// Takes the next bytes.
    ///
    /// # Errors
    ///
    /// If the runtime is shutting down.
    #[boxed]
    pub async fn update(&mut self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            let (taken, _) = self.fill(bytes).await?;
            bytes = &bytes[taken..];
        }
        Ok(())
    }

    /// Starts to hash the collected batch, and returns it.
    async fn hash_batch(&mut self) -> Result<Bytes> {
        let batch = mem::take(&mut self.filling).freeze();
        if self.is_skipped {
            return Ok(batch);
        }
        let mut hasher = self.take_hasher().await?;
        let same_batch = batch.clone();
        self.hashing = Some(spawn_blocking(move || {
            hasher.update(&same_batch);
            hasher
        }));
        Ok(batch)
    }

    async fn take_hasher(&mut self) -> Result<Box<ContentHasher>> {
        match self.hashing.take() {
            Some(hashing) => hashing
                .await
                .map_err(|stopped| Error::Unavailable(std::io::Error::other(stopped))),
            None => Ok(Box::default()),
        }
    }

    /// Hashes the rest. Returns the hash of all bytes, and the last batch unless it is empty.
    ///
    /// # Errors
    ///
    /// If the runtime is shutting down.
    pub(crate) async fn end(&mut self) -> Result<(ContentHasher, Option<Bytes>)> {
        let rest = if self.filling.is_empty() {
            None
        } else {
            Some(self.hash_batch().await?)
        };
        Ok((*self.take_hasher().await?, rest))
    }

    /// Returns the hash of all bytes.
    ///
    /// # Errors
    ///
    /// If the runtime is shutting down.
    #[boxed]
    pub async fn finish(mut self) -> Result<ContentHasher> {
        Ok(self.end().await?.0)
    }
}
