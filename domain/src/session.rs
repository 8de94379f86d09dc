//! Resumable uploads.

use crate::{FileName, MediaType, Owner, RandomId, Sha1, Sha256, Timestamp};

/// A resumable upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// The id, which is part of the upload's URL.
    pub id: RandomId,
    /// The owner who created the upload.
    pub owner: Owner,
    /// The protocol of the upload.
    pub protocol: Protocol,
    /// The upload's role in a concatenation.
    pub role: Role,
    /// The state of the upload.
    pub state: SessionState,
    /// The final size in bytes, if declared.
    pub length: Option<u64>,
    /// The bytes of the owner's quota that are reserved while the length is unknown.
    pub reserved_bytes: Option<u64>,
    /// The name of the file to create.
    pub file_name: FileName,
    /// The declared media type.
    pub content_type: MediaType,
    /// The declared SHA-1.
    pub expected_sha1: Option<Sha1>,
    /// The declared SHA-256.
    pub expected_sha256: Option<Sha256>,
    /// The client's `Upload-Metadata`, which responses repeat.
    pub metadata: Option<String>,
    /// The client's `Upload-Concat`, which responses repeat.
    pub concat: Option<String>,
    /// The time of creation.
    pub create_at: Timestamp,
    /// The time at which the upload expires.
    pub expires_at: Timestamp,
}

/// The protocol of an upload; the upload is found by this protocol only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// tus 1.0.0.
    Tus,
    /// Resumable uploads for HTTP (draft-ietf-httpbis-resumable-upload).
    Http,
}

/// An upload's role in a concatenation (tus 1.0.0, `Upload-Concat`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// None: the upload becomes a file.
    Whole,
    /// A part of another upload.
    Part,
    /// The concatenation of parts.
    Final,
}

/// The state of an upload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionState {
    /// The upload accepts bytes.
    Open,
    /// The upload became the file with this SHA-1.
    Done(Sha1),
    /// The upload can no longer become a file.
    Failed,
}

/// The position of an upload in the listing of its owner's uploads, newest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UploadPosition {
    /// The time of creation.
    pub create_at: Timestamp,
    /// The id.
    pub id: RandomId,
}

impl Session {
    /// The position in the listing of the owner's uploads.
    #[must_use]
    pub fn position(&self) -> UploadPosition {
        UploadPosition {
            create_at: self.create_at,
            id: self.id,
        }
    }

    /// Returns whether the client named the file; without a name it is called by the upload's id.
    #[must_use]
    pub fn is_named(&self) -> bool {
        self.file_name.as_str() != self.id.to_string()
    }

    /// Returns whether two uploads announced the same content: by a digest, and by nothing that
    /// differs.
    #[must_use]
    pub fn has_content_of(&self, other: &Self) -> bool {
        let sha1 = agree(self.expected_sha1, other.expected_sha1);
        let sha256 = agree(self.expected_sha256, other.expected_sha256);
        let length = agree(self.length, other.length);
        let is_any = sha1 == Some(true) || sha256 == Some(true);
        is_any
            && [sha1, sha256, length]
                .iter()
                .all(|is_same| *is_same != Some(false))
    }

    /// Returns whether two uploads are to become files of the same name.
    #[must_use]
    pub fn has_name_of(&self, other: &Self) -> bool {
        self.file_name == other.file_name || !self.is_named() && !other.is_named()
    }
}

/// Returns whether two values are equal; `None` if one is not known.
fn agree<T: PartialEq>(one: Option<T>, other: Option<T>) -> Option<bool> {
    Some(one? == other?)
}
