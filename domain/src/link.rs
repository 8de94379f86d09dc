//! Links: URLs that let anyone download an owner's file.

use crate::{Owner, RandomId, Sha1, Timestamp};

/// A link to an owner's file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// The id, which is part of the link's URL, after a signature.
    pub id: RandomId,
    /// The owner of the file.
    pub owner: Owner,
    /// The SHA-1 of the file.
    pub file_sha1: Sha1,
    /// True if a browser may show the file instead of saving it.
    pub inline: bool,
    /// The largest number of downloads, if limited.
    pub max_downloads: Option<u64>,
    /// The number of counted downloads.
    pub downloads: u64,
    /// The time of creation.
    pub create_at: Timestamp,
    /// The time at which the link expires.
    pub expires_at: Timestamp,
}

impl Link {
    /// Returns whether all downloads were counted.
    #[must_use]
    pub fn is_used_up(&self) -> bool {
        self.max_downloads.is_some_and(|max| self.downloads >= max)
    }
}
