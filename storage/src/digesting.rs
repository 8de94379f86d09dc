//! Hashing bytes on one thread while more of them arrive on another.

use std::mem;

use bytes::{Bytes, BytesMut};
use domain::ContentHasher;
use tokio::task::{JoinHandle, spawn_blocking};

use crate::{Error, Result, pipeline::BATCH};

/// Collects bytes in batches, and hashes one while the next one fills.
#[derive(Default)]
pub struct Digesting {
    filling: BytesMut,
    hashing: Option<JoinHandle<Box<ContentHasher>>>,
    /// Nothing is hashed, only collected: it is known what the bytes come to.
    is_needless: bool,
}

impl Digesting {
    /// Hashes unless that is needless.
    pub(crate) fn unless(is_needless: bool) -> Self {
        Self {
            is_needless,
            ..Self::default()
        }
    }

    /// Takes in as many of the next bytes as fit; gives how many did, and the batch that they have
    /// filled, if they have.
    ///
    /// # Errors
    ///
    /// When the runtime is shutting down.
    pub(crate) async fn fill(&mut self, bytes: &[u8]) -> Result<(usize, Option<Bytes>)> {
        if self.filling.capacity() == 0 {
            self.filling.reserve(BATCH);
        }
        let fitting = bytes.len().min(BATCH - self.filling.len());
        self.filling.extend_from_slice(&bytes[..fitting]);
        if self.filling.len() < BATCH {
            return Ok((fitting, None));
        }
        Ok((fitting, Some(self.hash().await?)))
    }

    /// Takes in the next bytes.
    ///
    /// # Errors
    ///
    /// When the runtime is shutting down.
    pub async fn update(&mut self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            let (taken, _) = self.fill(bytes).await?;
            bytes = &bytes[taken..];
        }
        Ok(())
    }

    /// Begins to hash what has been filled, and gives it.
    async fn hash(&mut self) -> Result<Bytes> {
        let batch = mem::take(&mut self.filling).freeze();
        if self.is_needless {
            return Ok(batch);
        }
        let mut hasher = self.hashed().await?;
        let same_batch = batch.clone();
        self.hashing = Some(spawn_blocking(move || {
            hasher.update(&same_batch);
            hasher
        }));
        Ok(batch)
    }

    async fn hashed(&mut self) -> Result<Box<ContentHasher>> {
        match self.hashing.take() {
            Some(hashing) => hashing
                .await
                .map_err(|stopped| Error::Unavailable(std::io::Error::other(stopped))),
            None => Ok(Box::default()),
        }
    }

    /// Gives what all bytes have come to, and those that filled no batch.
    ///
    /// # Errors
    ///
    /// When the runtime is shutting down.
    pub(crate) async fn end(&mut self) -> Result<(ContentHasher, Option<Bytes>)> {
        let rest = if self.filling.is_empty() {
            None
        } else {
            Some(self.hash().await?)
        };
        Ok((*self.hashed().await?, rest))
    }

    /// Gives what all bytes have come to.
    ///
    /// # Errors
    ///
    /// When the runtime is shutting down.
    pub async fn finish(mut self) -> Result<ContentHasher> {
        Ok(self.end().await?.0)
    }
}
