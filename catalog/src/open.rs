//! Giving a file back.

use std::time::{Duration, Instant};

use domain::{Address, ByteRange, Owner, Sha1};
use persistence::StoredContent;
use quick_cache::sync::Cache;
use storage::{Object, Store};

use crate::{Catalog, Entry, Error, Result};

/// How many contents' addresses are remembered.
const MOST: usize = 10_000;

/// How long bytes that somebody else is to send are not looked at again.
const LOOK_AFTER: Duration = Duration::from_secs(10);

/// Where contents were found lately.
///
/// An address is never used for another content, so what is there, and has the right size, is the
/// content, whatever its row says by now. What is not there any more is looked up again.
pub(crate) struct Addresses(Cache<Sha1, Found>);

#[derive(Clone)]
struct Found {
    content: StoredContent,
    /// When its bytes were last seen to be whole.
    seen: Option<Instant>,
}

impl Addresses {
    /// Forgets where a content is, which has moved.
    pub(crate) fn forget(&self, sha1: &Sha1) {
        self.0.remove(sha1);
    }
}

impl Default for Addresses {
    fn default() -> Self {
        Self(Cache::new(MOST))
    }
}

/// An owner's file whose bytes are known to be somewhere.
pub struct Download {
    catalog: Catalog,
    owner: Owner,
    content: StoredContent,
    seen: Option<Instant>,
}

impl Catalog {
    /// Finds the bytes of a file that its owner was found to have.
    ///
    /// # Errors
    ///
    /// [`Error::ContentLost`] when there are none: a defect, never a "not found".
    pub async fn locate(&self, owner: &Owner, entry: &Entry) -> Result<Download> {
        let sha1 = entry.meta.file_sha1;
        let found = match self.0.addresses.0.get(&sha1) {
            Some(found) => found,
            None => self.look_up(owner, &sha1).await?,
        };
        Ok(Download {
            catalog: self.clone(),
            owner: owner.clone(),
            content: found.content,
            seen: found.seen,
        })
    }

    async fn look_up(&self, owner: &Owner, sha1: &Sha1) -> Result<Found> {
        let contents = self.0.database.contents();
        let mut content = contents.find(sha1).await?;
        if content.is_none() {
            // It may have been deleted and purged since, and uploaded again.
            self.find(owner, sha1).await?;
            content = contents.find(sha1).await?;
        }
        let found = Found {
            content: content.ok_or(Error::ContentLost(*sha1, None))?,
            seen: None,
        };
        self.0.addresses.0.insert(*sha1, found.clone());
        Ok(found)
    }
}

impl Download {
    /// Where the bytes are, which were all there a moment ago.
    ///
    /// # Errors
    ///
    /// As [`Download::open`].
    pub async fn place(&mut self) -> Result<(&Store, &str)> {
        // No longer than anything stays that nobody has, or that was moved.
        let limits = &self.catalog.0.limits;
        let stays = limits.purge_grace.min(limits.copy_grace);
        let look_after = LOOK_AFTER.min(stays / 2);
        if self.seen.is_none_or(|seen| seen.elapsed() >= look_after) {
            if let Err(error) = self.look().await {
                self.content = self.elsewhere(error).await?;
                self.look().await.map_err(|error| self.lost(error))?;
            }
            let found = Found {
                content: self.content.clone(),
                seen: Some(Instant::now()),
            };
            let addresses = &self.catalog.0.addresses;
            addresses.0.insert(self.content.content.sha1, found);
        }
        let address = &self.content.address;
        Ok((self.catalog.0.stores.of(address)?, &address.key))
    }

    async fn look(&self) -> Result<(), storage::Error> {
        let (key, expected) = (&self.content.address.key, self.content.content.size);
        let store = self.catalog.0.stores.of(&self.content.address)?;
        match store.size(key).await? {
            Some(found) if found == expected => Ok(()),
            Some(found) => Err(storage::Error::WrongSize {
                key: key.clone(),
                expected,
                found,
            }),
            None => Err(storage::Error::Missing(key.clone())),
        }
    }

    /// Opens the bytes, and begins to read what is wanted of them.
    ///
    /// # Errors
    ///
    /// [`Error::ContentLost`] when they are not there, or not as many as there should be;
    /// [`Error::NotFound`] when the file was deleted and purged since it was found.
    pub async fn open(&mut self, wanted: ByteRange) -> Result<Object> {
        match self.read(wanted).await {
            Ok(object) => Ok(object),
            Err(error) => {
                self.content = self.elsewhere(error).await?;
                self.read(wanted).await.map_err(|error| self.lost(error))
            }
        }
    }

    /// Reads from either place where the bytes are; from the second one if the first fails, or did
    /// a moment ago.
    async fn read(&self, wanted: ByteRange) -> Result<Object, storage::Error> {
        let first = &self.content.address;
        let Some(second) = &self.content.second else {
            return self.read_at(first, wanted).await;
        };
        let stores = &self.catalog.0.stores;
        let is_avoided = stores.is_avoided(&first.store) && !stores.is_avoided(&second.store);
        let (first, second) = if is_avoided {
            (second, first)
        } else {
            (first, second)
        };
        match self.read_at(first, wanted).await {
            Err(error) => {
                tracing::warn!(address = %first, %error, "reading the other copy");
                match self.read_at(second, wanted).await {
                    Ok(object) => Ok(object),
                    // Whether anything is lost cannot be said while either may have it.
                    Err(other) if is_loss(&error) && !is_loss(&other) => Err(other),
                    Err(_) => Err(error),
                }
            }
            opened => opened,
        }
    }

    async fn read_at(
        &self,
        address: &Address,
        wanted: ByteRange,
    ) -> Result<Object, storage::Error> {
        let stores = &self.catalog.0.stores;
        let size = self.content.content.size;
        let opened = stores
            .of(address)?
            .open_object(&address.key, size, wanted)
            .await;
        stores.note(&address.store, &opened);
        opened
    }

    /// Where bytes are that are not where they were: the file may have been brought again.
    async fn elsewhere(&self, error: storage::Error) -> Result<StoredContent> {
        let sha1 = self.content.content.sha1;
        if !is_loss(&error) {
            return Err(error.into());
        }
        self.catalog.0.addresses.0.remove(&sha1);
        self.catalog.find(&self.owner, &sha1).await?;
        let content = self.catalog.look_up(&self.owner, &sha1).await?.content;
        if content == self.content {
            return Err(self.lost(error));
        }
        Ok(content)
    }

    fn lost(&self, error: storage::Error) -> Error {
        let sha1 = self.content.content.sha1;
        self.catalog.0.addresses.0.remove(&sha1);
        if is_loss(&error) {
            Error::ContentLost(sha1, Some(error))
        } else {
            error.into()
        }
    }
}

fn is_loss(error: &storage::Error) -> bool {
    matches!(
        error,
        storage::Error::Missing(_) | storage::Error::WrongSize { .. }
    )
}
