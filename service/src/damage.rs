//! Contents whose bytes are not what was stored: they are found, marked, and copied again.
//!
//! A damaged copy is dropped if the content has another one that is whole, and is made again from it.
//! A content without a whole copy is marked as damaged: it counts as absent, downloads of it fail, and
//! the next upload of the content by any owner replaces the bytes.

use std::{
    collections::HashSet,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::{Duration, Instant},
};

use domain::{Address, ByteRange, Sha1, StoredContent, block::BLOCK_SIZE};
use futures_util::TryStreamExt as _;
use parking_lot::Mutex;
use persistence::CopyDrop;
use quick_cache::sync::Cache;

use crate::{
    FileService, Result, VerifiedObject,
    digest::{digest, digest_and_checksums},
    scrub::ScrubCounts,
};

/// Contents up to this size in bytes are read again for each upload of them.
const ALWAYS_VERIFIED: u64 = 8 * 1024 * 1024;

/// Time for which a larger content that was read and found to be whole is not read again for an
/// upload.
const VERIFIED_FOR: Duration = Duration::from_mins(10);

/// Maximum number of contents that are remembered as verified.
const MAX_REMEMBERED: usize = 10_000;

/// Which contents count as whole by their size alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trusted {
    /// None: the request has the bytes.
    None,
    /// Large ones, whose reading would take longer than a client waits that has no bytes to send. What a
    /// reader or the scrubber has found to be damaged does not count at all.
    LargeOnes,
}

/// What this process knows about the state of copies.
pub(crate) struct Damage {
    /// Copies that were found to be whole.
    verified: Cache<Address, Instant>,
    /// Contents that are being examined.
    examined: Arc<Mutex<HashSet<Sha1>>>,
    /// The checksums of contents are computed one after the other.
    computing: tokio::sync::Semaphore,
    pub(crate) counts: ScrubCounts,
}

impl Default for Damage {
    fn default() -> Self {
        Self {
            verified: Cache::new(MAX_REMEMBERED),
            examined: Arc::default(),
            computing: tokio::sync::Semaphore::new(1),
            counts: ScrubCounts::default(),
        }
    }
}

impl FileService {
    /// Returns whether the bytes at an address are a content. They are read, unless they are many and
    /// were read a short time ago, or are trusted.
    pub(crate) async fn is_whole(
        &self,
        known: &StoredContent,
        address: &Address,
        trusted: Trusted,
    ) -> Result<bool, storage::Error> {
        let store = self.0.stores.of(address)?;
        if store.size(&address.key).await? != Some(known.content.size) {
            return Ok(false);
        }
        let verified_at = self.0.damage.verified.get(address);
        if known.content.size > ALWAYS_VERIFIED
            && (trusted == Trusted::LargeOnes
                || verified_at.is_some_and(|at| at.elapsed() < VERIFIED_FOR))
        {
            return Ok(true);
        }
        if known.checksum.is_none() {
            return self.is_readable(known, address).await;
        }
        match self.compare(known, address).await {
            Ok(()) => {
                self.0
                    .damage
                    .verified
                    .insert(address.clone(), Instant::now());
                Ok(true)
            }
            Err(error) if error.is_loss() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Compares a copy with the checksums of its blocks.
    async fn compare(
        &self,
        known: &StoredContent,
        address: &Address,
    ) -> Result<(), storage::Error> {
        let whole = ByteRange::whole(known.content.size);
        let store = self.0.stores.of(address)?;
        let opened = store
            .open_object(&address.key, known.content.size, whole)
            .await?;
        let object = VerifiedObject::new(self, known, address, opened, whole).await?;
        let mut pieces = object.stream(whole);
        while pieces.try_next().await?.is_some() {}
        Ok(())
    }

    /// Reads a copy, and returns whether it is a content.
    async fn is_readable(
        &self,
        known: &StoredContent,
        address: &Address,
    ) -> Result<bool, storage::Error> {
        let store = self.0.stores.of(address)?;
        let is_whole = match digest(store, &address.key, known.content.size).await {
            Ok(content) => content == known.content,
            Err(error) if error.is_loss() => false,
            Err(error) => return Err(error),
        };
        if is_whole {
            self.0
                .damage
                .verified
                .insert(address.clone(), Instant::now());
        }
        Ok(is_whole)
    }

    /// Examines a content in the background after a reader found a damaged block of a copy.
    pub(crate) fn settle_damage_later(&self, content: &StoredContent, address: &Address) {
        let sha1 = content.content.sha1;
        if !self.0.damage.examined.lock().insert(sha1) {
            return;
        }
        let (service, content, address) = (self.clone(), content.clone(), address.clone());
        tokio::spawn(async move {
            if let Err(error) = service.settle_damage(&content, &address).await {
                tracing::warn!(%address, %error, "could not examine the damaged object");
            }
            service.0.damage.examined.lock().remove(&sha1);
        });
    }

    /// Reads a copy again that seems to be damaged, and records it; returns whether it is damaged.
    pub(crate) async fn settle_damage(
        &self,
        content: &StoredContent,
        address: &Address,
    ) -> Result<bool> {
        if self.is_readable(content, address).await? {
            tracing::warn!(%address, "the object is whole now; its bytes changed while they were read");
            return Ok(false);
        }
        self.scrub_counts().damaged.fetch_add(1, Relaxed);
        let now = self.0.clock.now();
        let sha1 = content.content.sha1;
        let mut whole = None;
        for other in content.copies().filter(|other| *other != address) {
            if self.is_readable(content, other).await? {
                whole = Some(other);
            }
        }
        let checksums = self.0.database.checksums();
        if let Some(whole) = whole {
            let drop = CopyDrop {
                content,
                whole,
                damaged: address,
                deletion_due: now.after(self.0.limits.copy_grace),
                now,
            };
            if checksums.drop_copy(&drop).await? {
                tracing::error!(%address, %whole, "the copy is damaged, and is made again from the whole one");
            }
        } else if checksums.mark_damaged(content, now).await? {
            tracing::error!(
                %sha1, %address,
                "the content is damaged, and cannot be read until it is uploaded again"
            );
        }
        self.0.addresses.forget(&sha1);
        Ok(true)
    }

    /// Makes a damaged content available again if all of its copies are whole; returns whether it is.
    pub(crate) async fn restore_if_whole(&self, content: &StoredContent) -> Result<bool> {
        for address in content.copies() {
            if self.0.stores.get(&address.store).is_none()
                || !self.is_readable(content, address).await?
            {
                return Ok(false);
            }
        }
        let now = self.0.clock.now();
        let restored = self.0.database.checksums().mark_whole(content, now).await?;
        if restored {
            tracing::info!(sha1 = %content.content.sha1, "the content was damaged, and is whole again");
        }
        Ok(restored)
    }

    /// Computes the checksums of a content in the background, after an upload that came in pieces.
    pub(crate) fn compute_checksums_later(&self, sha1: Sha1) {
        let service = self.clone();
        tokio::spawn(async move {
            let Ok(_turn) = service.0.damage.computing.acquire().await else {
                return;
            };
            let computed = async {
                let Some(content) = service.0.database.contents().find_for_update(&sha1).await?
                else {
                    return Ok(());
                };
                service.scrub(&content).await.map(drop)
            };
            if let Err(error) = computed.await {
                tracing::warn!(%sha1, %error, "could not compute the checksums, the scrubber will");
            }
        });
    }

    async fn has_checksums(&self, content: &StoredContent) -> Result<bool> {
        if content.checksum.is_none() || content.content.size <= BLOCK_SIZE {
            return Ok(content.checksum.is_some());
        }
        let first = self.find_checksums(&content.content.sha1, 0).await?;
        Ok(!first.is_empty())
    }

    /// Reads all copies of a content, records the checksums if they are not known, and settles damage.
    /// Returns the number of bytes that were read.
    pub(crate) async fn scrub(&self, content: &StoredContent) -> Result<u64> {
        let (mut read, mut is_known) = (0, self.has_checksums(content).await?);
        for address in content.copies() {
            let Some(store) = self.0.stores.get(&address.store) else {
                continue;
            };
            let found = digest_and_checksums(store, &address.key, content.content.size).await;
            match found {
                Ok((found, checksums)) if found == content.content => {
                    read += found.size;
                    if let (false, Some(checksums)) = (is_known, checksums) {
                        let sha1 = &content.content.sha1;
                        self.0.database.checksums().add(sha1, &checksums).await?;
                        self.0.addresses.forget(sha1);
                        is_known = true;
                    }
                    self.0
                        .damage
                        .verified
                        .insert(address.clone(), Instant::now());
                }
                Err(error) if !error.is_loss() => return Err(error.into()),
                _ if !self.is_current(content).await? => return Ok(read),
                _ => {
                    self.settle_damage(content, address).await?;
                    return Ok(read);
                }
            }
        }
        Ok(read)
    }
}
