//! Links: access to an owner's file without credentials.
//!
//! The target and the expiry of a link are in its row.

use std::{net::IpAddr, time::Duration};

use domain::{Link, Owner, RandomId, Sha1, Timestamp};

use crate::{Entry, Error, FileService, Result, boxed, random::random_id};

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

/// What tells the visitors of a link apart.
#[derive(Debug, Clone, Copy)]
pub struct Visitor<'a> {
    /// Address of the client, if it is known.
    pub address: Option<IpAddr>,
    /// The name that the client gives itself.
    pub user_agent: &'a [u8],
}

/// The file of a link.
#[derive(Debug, Clone)]
pub struct LinkedFile {
    /// The owner's entry.
    pub entry: Entry,
    /// The link.
    pub link: Link,
    /// The visitor, as a hash that tells nothing without the key.
    pub(crate) visitor: RandomId,
}

impl FileService {
    /// Creates a link to an owner's file.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`], or when the database fails.
    #[boxed]
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
            downloads: 0,
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
    /// A link whose downloads are used up still works for visitors whose visits are not over.
    ///
    /// # Errors
    ///
    /// [`Error::LinkNotFound`] for any invalid link; or when the database fails.
    pub async fn follow_link(&self, token: &str, visitor: Visitor<'_>) -> Result<LinkedFile> {
        let id = self.0.link_keys.open(token).ok_or(Error::LinkNotFound)?;
        let now = self.0.clock.now();
        let link = self.0.database.links().find(id, now).await?;
        let link = link.ok_or(Error::LinkNotFound)?;
        let entry = match self.find(&link.owner, &link.file_sha1).await {
            Ok(entry) => entry,
            Err(Error::NotFound) => return Err(Error::LinkNotFound),
            Err(error) => return Err(error),
        };
        Ok(LinkedFile {
            entry,
            visitor: self.0.link_keys.hash_visitor(id, visitor),
            link,
        })
    }

    /// Removes the rows of expired links, and of visits that are over.
    ///
    /// # Errors
    ///
    /// When the database fails.
    #[boxed]
    pub async fn sweep_links(&self) -> Result<()> {
        let now = self.0.clock.now();
        self.0.database.links().remove_expired(now).await?;
        let visits = self.0.database.visits();
        Ok(visits.remove_unused(self.visits_since(now)).await?)
    }

    /// Removes all links to an owner's file.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`], or when the database fails.
    #[boxed]
    pub async fn remove_links(&self, owner: &Owner, sha1: &Sha1) -> Result<()> {
        self.find_uncached(owner, sha1).await?;
        Ok(self.0.database.links().remove(owner, sha1).await?)
    }
}
