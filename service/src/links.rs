//! Links by which whoever has one gets an owner's file, without credentials.
//!
//! A link's token is its random id behind a MAC: nothing can be read in it, and what was made up
//! is refused without a look-up. What it is for, and until when, is kept in a row. The token is
//! `id`, 16 bytes, and the first half of an HMAC-SHA-256 over a label and the id; in base64url.

use std::time::Duration;

use domain::{Owner, Sha1, Timestamp};
use persistence::Link;

use crate::{Entry, Error, FileService, Result, random::random_id};

/// A link that is to be made.
#[derive(Debug, Clone)]
pub struct NewLink {
    /// How long it works.
    pub lifetime: Duration,
    /// Whether a browser may show the file rather than save it.
    pub inline: bool,
    /// How often the file can be downloaded by it, if not without end.
    pub max_downloads: Option<u64>,
}

/// A link that was made.
#[derive(Debug, Clone)]
pub struct IssuedLink {
    /// What its URL has.
    pub token: String,
    /// Until when it works.
    pub expires_at: Timestamp,
}

/// A file that somebody came to by a link.
#[derive(Debug, Clone)]
pub struct LinkedFile {
    /// The owner's entry.
    pub entry: Entry,
    /// The link.
    pub link: Link,
}

impl FileService {
    /// Makes a link to an owner's file.
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

    /// Finds the file that a link leads to.
    ///
    /// # Errors
    ///
    /// [`Error::LinkNotFound`], whatever is wrong with the link; or when the database fails.
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

    /// Counts a download by a link, if its downloads are counted.
    ///
    /// # Errors
    ///
    /// [`Error::LinkNotFound`] when others have used it up.
    pub async fn count_download(&self, link: &Link) -> Result<()> {
        if link.max_downloads.is_none() || self.0.database.links().count_download(link.id).await? {
            return Ok(());
        }
        Err(Error::LinkNotFound)
    }

    /// Ends all links to an owner's file.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`], or when the database fails.
    pub async fn remove_links(&self, owner: &Owner, sha1: &Sha1) -> Result<()> {
        self.find_uncached(owner, sha1).await?;
        Ok(self.0.database.links().remove(owner, sha1).await?)
    }

    /// Removes what is kept of links that are over.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn sweep_links(&self) -> Result<()> {
        let now = self.0.clock.now();
        Ok(self.0.database.links().remove_expired(now).await?)
    }
}
