//! Links: access to an owner's file without credentials.
//!
//! The target and the expiry of a link are in its row.

use std::time::Duration;

use domain::{Link, Owner, Sha1, Timestamp};

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
    /// The link.
    pub link: Link,
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

    /// Finds the file of a link.
    ///
    /// # Errors
    ///
    /// [`Error::LinkNotFound`] for any invalid link; or when the database fails.
    pub async fn follow_link(&self, token: &str) -> Result<LinkedFile> {
        let id = self.0.link_keys.open(token).ok_or(Error::LinkNotFound)?;
        let now = self.0.clock.now();
        let link = self.0.database.links().find(id, now).await?;
        let link = link.ok_or(Error::LinkNotFound)?;
        match self.find(&link.owner, &link.file_sha1).await {
            Ok(entry) => Ok(LinkedFile { entry, link }),
            Err(Error::NotFound) => Err(Error::LinkNotFound),
            Err(error) => Err(error),
        }
    }

    /// Counts a download if the link has a maximum.
    ///
    /// # Errors
    ///
    /// [`Error::LinkNotFound`] when the maximum is reached.
    pub async fn count_download(&self, link: &Link) -> Result<()> {
        if link.max_downloads.is_none() || self.0.database.links().count_download(link.id).await? {
            return Ok(());
        }
        Err(Error::LinkNotFound)
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
