//! Claims: uploads without bytes, completed by a proof of possession.

use crate::{FileName, MediaType, Owner, RandomId, Sha1, Sha256, Timestamp, possession::Nonce};

/// A claim to possess a content, which the service may or may not have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// The id, which is part of the claim's URL.
    pub id: RandomId,
    /// The owner who made the claim.
    pub owner: Owner,
    /// The key of the proof.
    pub nonce: Nonce,
    /// The SHA-1 of the content.
    pub file_sha1: Sha1,
    /// The declared SHA-256 of the content.
    pub file_sha256: Option<Sha256>,
    /// The declared size of the content in bytes.
    pub file_size: u64,
    /// The name of the file to create.
    pub file_name: FileName,
    /// The declared media type.
    pub content_type: MediaType,
    /// The time of creation.
    pub create_at: Timestamp,
    /// The time at which the claim expires.
    pub expires_at: Timestamp,
}
