//! Links: access to an owner's file without credentials.
//!
//! The target and the expiry of a link are in its row.

use std::time::Duration;

use domain::{Link, Owner, Sha1, Timestamp};
use persistence::Visit;

use tokio::runtime::Handle;

use crate::{Entry, Error, FileService, Result, random::random_id};

/// Parameters of a new link.
#[derive(Debug, Clone)]
pub struct NewLink {
    /// Lifetime of the link.
    pub lifetime: Duration,
    /// True if browsers may show the file instead of saving it.
    pub inline: bool,
    /// Maximum number of downloads, if limited.
    pub max_downloads: Option<u64>,
}

/// A new link.
#[derive(Debug, Clone)]
pub struct IssuedLink {
    /// Token in the URL of the link.
    pub token: String,
    /// Expiry of the link.
    pub expires_at: Timestamp,
}

/// The file of a link.
#[derive(Debug, Clone)]
pub struct LinkedFile {
    /// The owner's entry.
    pub entry: Entry,
    /// The link and who follows it.
    pub visit: Visit,
}

impl FileService {
    /// Creates a link to an owner's file.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`], or when the database fails.
    pub async fn create_link(
        &self,
        owner: &Owner,
        sha1: &Sha1,
        new: &NewLink,
    ) -> Result<IssuedLink> {
        let now = self.0.clock.now();
        let link = Link {
            id: random_id()?,
            owner: owner.clone(),
            file_sha1: *sha1,
            inline: new.inline,
            max_downloads: new.max_downloads,
            is_used_up: false,
            create_at: now,
            expires_at: now.after(new.lifetime),
        };
        if !self.0.database.links().insert(&link).await? {
            return Err(Error::NotFound);
        }
        Ok(IssuedLink {
            token: self.0.link_keys.seal(link.id),
            expires_at: link.expires_at,
        })
    }

    /// Finds the file of a link for a visitor: a client with an address and a program.
    ///
    /// # Errors
    ///
    /// [`Error::LinkNotFound`] for any invalid link, and for one whose downloads are used up by others;
    /// or when the database fails.
    pub async fn follow_link(
        &self,
        token: &str,
        address: &str,
        agent: &[u8],
    ) -> Result<LinkedFile> {
        let id = self.0.link_keys.open(token).ok_or(Error::LinkNotFound)?;
        let now = self.0.clock.now();
        let links = self.0.database.links();
        let link = links.find(id, now).await?.ok_or(Error::LinkNotFound)?;
        let visitor = self.0.link_keys.visitor(id, address, agent);
        let visit = Visit { link, visitor };
        if visit.link.is_used_up && !links.has_bytes_left(&visit, 1).await? {
            return Err(Error::LinkNotFound);
        }
        match self.find(&visit.link.owner, &visit.link.file_sha1).await {
            Ok(entry) => Ok(LinkedFile { entry, visit }),
            Err(Error::NotFound) => Err(Error::LinkNotFound),
            Err(error) => Err(error),
        }
    }

    /// Checks that a visitor may get a link's whole file of `size` bytes, without taking any.
    ///
    /// # Errors
    ///
    /// [`Error::LinkNotFound`] if not.
    pub async fn check_bytes(&self, visit: &Visit, size: u64) -> Result<()> {
        let links = self.0.database.links();
        if !visit.link.is_used_up || links.has_bytes_left(visit, size).await? {
            return Ok(());
        }
        Err(Error::LinkNotFound)
    }

    /// Takes bytes of a link's file of `size` bytes for a visitor, if the link has a maximum of
    /// downloads. What belongs to a download that was counted is not counted again.
    ///
    /// # Errors
    ///
    /// [`Error::LinkNotFound`] when the maximum is reached.
    pub async fn take_bytes(&self, visit: &Visit, bytes: u64, size: u64) -> Result<()> {
        let links = self.0.database.links();
        if visit.link.max_downloads.is_none() || links.take_bytes(visit, bytes, size).await? {
            return Ok(());
        }
        Err(Error::LinkNotFound)
    }

    /// Gives a visitor back bytes that were taken and not sent, in the background.
    ///
    /// If that fails, the visitor may get less of the file again.
    pub fn give_back_later(&self, visit: Visit, bytes: u64) {
        let service = self.clone();
        let give_back = async move {
            if let Err(error) = service.0.database.links().give_back(&visit, bytes).await {
                tracing::debug!(%error, "could not give bytes of a link back");
            }
        };
        // A body may outlive the runtime when the process stops.
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(give_back);
        }
    }

    /// Removes all links to an owner's file.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`], or when the database fails.
    pub async fn remove_links(&self, owner: &Owner, sha1: &Sha1) -> Result<()> {
        self.find_uncached(owner, sha1).await?;
        Ok(self.0.database.links().remove(owner, sha1).await?)
    }

    /// Removes the rows of expired links.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn sweep_links(&self) -> Result<()> {
        let now = self.0.clock.now();
        Ok(self.0.database.links().remove_expired(now).await?)
    }
}
