//! Downloads.

use std::time::{Duration, Instant};

use domain::{Address, ByteRange, Owner, Sha1, StoredContent};
use storage::Store;

use crate::{
    Entry, Error, FileService, Result, VerifiedObject, address_cache::FoundContent, boxed,
    verified_object::blocks_around,
};

/// Time for which bytes that nginx or a client reads directly from the store are not checked again.
const RECHECK_AFTER: Duration = Duration::from_secs(10);

/// The content of an owner's file, with its copies in the stores.
pub struct Download {
    service: FileService,
    owner: Owner,
    content: StoredContent,
    /// The last copy that was found to be whole.
    verified: Option<Address>,
    verified_at: Option<Instant>,
}

impl FileService {
    /// Finds the content of a file that its owner has.
    ///
    /// # Errors
    ///
    /// [`Error::ContentLost`] when there is none: a defect, never a "not found".
    #[boxed]
    pub async fn locate(&self, owner: &Owner, entry: &Entry) -> Result<Download> {
        let sha1 = entry.meta.file_sha1;
        let cached = self.0.addresses.find(&sha1);
        // Bytes without checksums are not compared, so what others found counts.
        let found = match cached.filter(|found| found.content.checksum.is_some()) {
            Some(found) => found,
            None => self.look_up(owner, &sha1).await?,
        };
        Ok(Download {
            service: self.clone(),
            owner: owner.clone(),
            content: found.content,
            verified: None,
            verified_at: found.verified_at,
        })
    }

    async fn look_up(&self, owner: &Owner, sha1: &Sha1) -> Result<FoundContent> {
        let contents = self.0.database.contents();
        let mut content = contents.find(sha1).await?;
        if content.is_none() {
            // The file may have been deleted, purged, and uploaded again.
            self.find_uncached(owner, sha1).await?;
            content = contents.find(sha1).await?;
        }
        let found = FoundContent {
            content: content.ok_or(Error::ContentLost(*sha1, None))?,
            verified_at: None,
        };
        self.0.addresses.insert(found.clone());
        Ok(found)
    }
}

impl Download {
    /// Store and key of a whole copy, checked recently.
    ///
    /// # Errors
    ///
    /// As [`Download::open`].
    pub async fn locate_copy(&mut self) -> Result<(&Store, &str)> {
        // Not longer than an unreferenced content or an old copy is kept.
        let limits = &self.service.0.limits;
        let stays = limits.purge_grace.min(limits.copy_grace);
        let recheck_after = RECHECK_AFTER.min(stays / 2);
        if self
            .verified_at
            .is_none_or(|at| at.elapsed() >= recheck_after)
        {
            if self.verified_at.is_some() {
                // nginx and stores do not verify what they send: what others found counts.
                self.service.0.addresses.forget(&self.content.content.sha1);
                let found = self
                    .service
                    .look_up(&self.owner, &self.content.content.sha1);
                self.content = found.await?.content;
            }
            self.verified = match self.find_whole_copy().await {
                Ok(address) => Some(address),
                Err(error) => {
                    self.content = self.find_again(error).await?;
                    Some(
                        self.find_whole_copy()
                            .await
                            .map_err(|error| self.lost(error))?,
                    )
                }
            };
            let found = FoundContent {
                content: self.content.clone(),
                verified_at: Some(Instant::now()),
            };
            let addresses = &self.service.0.addresses;
            addresses.insert(found);
        }
        let address = match &self.verified {
            Some(address) => address,
            None => self.in_order()[0],
        };
        Ok((self.service.0.stores.of(address)?, &address.key))
    }

    /// Name of the store that is read first.
    #[must_use]
    pub fn store(&self) -> &str {
        &self.in_order()[0].store
    }

    /// Addresses of the copies; a store that failed recently comes last.
    fn in_order(&self) -> Vec<&Address> {
        let mut copies: Vec<&Address> = self.content.copies().collect();
        if copies.len() > 1 {
            let stores = &self.service.0.stores;
            copies.sort_by_key(|copy| stores.failed_recently(&copy.store));
        }
        copies
    }

    /// Finds the first whole copy.
    async fn find_whole_copy(&self) -> Result<Address, storage::Error> {
        self.try_each(async |address| self.verify_copy(address).await.map(|()| address.clone()))
            .await
    }

    async fn verify_copy(&self, address: &Address) -> Result<(), storage::Error> {
        let (key, expected) = (&address.key, self.content.content.size);
        let stores = &self.service.0.stores;
        let size = stores.of(address)?.size(key).await;
        stores.record_result(&address.store, &size);
        match size? {
            Some(found) if found == expected => Ok(()),
            Some(found) => Err(storage::Error::WrongSize {
                key: key.clone(),
                expected,
                found,
            }),
            None => Err(storage::Error::Missing(key.clone())),
        }
    }

    /// Tries `work` on each copy until it succeeds.
    async fn try_each<T>(
        &self,
        work: impl AsyncFn(&Address) -> Result<T, storage::Error>,
    ) -> Result<T, storage::Error> {
        let mut failed = None;
        for address in self.in_order() {
            match work(address).await {
                Ok(done) => return Ok(done),
                // Content counts as lost only if every copy reports a loss, so other errors take
                // precedence.
                Err(error) if failed.as_ref().is_none_or(storage::Error::is_loss) => {
                    if self.content.second.is_some() {
                        tracing::warn!(%address, %error, "could not read the copy, trying the other one");
                    }
                    failed = Some(error);
                }
                Err(_) => {}
            }
        }
        Err(failed
            .unwrap_or_else(|| storage::Error::Missing(self.content.content.sha1.to_string())))
    }

    /// Opens the content for reading the range.
    ///
    /// # Errors
    ///
    /// [`Error::ContentLost`] when the bytes are missing or have the wrong size;
    /// [`Error::NotFound`] when the file was deleted and purged in the meantime.
    pub async fn open(&mut self, range: ByteRange) -> Result<VerifiedObject> {
        match self.read(range).await {
            Ok(object) => Ok(object),
            Err(error) => {
                self.content = self.find_again(error).await?;
                self.read(range).await.map_err(|error| self.lost(error))
            }
        }
    }

    async fn read(&self, range: ByteRange) -> Result<VerifiedObject, storage::Error> {
        self.try_each(async |address| self.read_at(address, range).await)
            .await
    }

    async fn read_at(
        &self,
        address: &Address,
        range: ByteRange,
    ) -> Result<VerifiedObject, storage::Error> {
        let (service, content) = (&self.service, &self.content);
        let stores = &service.0.stores;
        let opened = stores
            .of(address)?
            .open_object(
                &address.key,
                content.content.size,
                blocks_around(content, range),
            )
            .await;
        stores.record_result(&address.store, &opened);
        VerifiedObject::new(service, content, address, opened?, range).await
    }

    /// Looks the content up again after an error: it may have been uploaded again, moved, or
    /// copied.
    async fn find_again(&self, error: storage::Error) -> Result<StoredContent> {
        let sha1 = self.content.content.sha1;
        self.service.0.addresses.forget(&sha1);
        if error.is_loss() {
            self.service.find_uncached(&self.owner, &sha1).await?;
        }
        let content = self.service.look_up(&self.owner, &sha1).await?.content;
        if content == self.content {
            return Err(self.lost(error));
        }
        Ok(content)
    }

    fn lost(&self, error: storage::Error) -> Error {
        let sha1 = self.content.content.sha1;
        self.service.0.addresses.forget(&sha1);
        if error.is_loss() {
            Error::ContentLost(sha1, Some(error))
        } else {
            error.into()
        }
    }
}
