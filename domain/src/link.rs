//! Links: URLs that let anyone download an owner's file.

use std::fmt;

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
    /// Whether all downloads were counted.
    pub is_used_up: bool,
    /// The time of creation.
    pub create_at: Timestamp,
    /// The time at which the link expires.
    pub expires_at: Timestamp,
}

/// Who follows a link: a keyed hash of the address and the program, which tells neither.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Visitor([u8; 16]);

impl From<[u8; 16]> for Visitor {
    fn from(hash: [u8; 16]) -> Self {
        Self(hash)
    }
}

impl fmt::Display for Visitor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}
