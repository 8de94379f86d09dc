//! Errors of the use cases.

use std::time::Duration;

use domain::{Address, QuotaError, RandomId, Sha1, Sha256, UploadError};

/// Result of a use case.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Error of a use case.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The owner has no such file.
    #[error("the file does not exist")]
    NotFound,
    /// The entry does not meet the request's precondition.
    #[error("the file has changed since it was read")]
    PreconditionFailed,
    /// The content does not have the declared SHA-1.
    #[error("the SHA-1 of the content is {found}, but {expected} was declared")]
    WrongSha1 {
        /// Declared SHA-1.
        expected: Sha1,
        /// Actual SHA-1.
        found: Sha1,
    },
    /// The content does not have the declared SHA-256.
    #[error("the SHA-256 of the content is {found}, but {expected} was declared")]
    WrongSha256 {
        /// Declared SHA-256.
        expected: Sha256,
        /// Actual SHA-256.
        found: Sha256,
    },
    /// Another content with this SHA-1 is stored.
    #[error("another content with the SHA-1 {0} is stored")]
    Collision(Sha1),
    /// The content exceeds the maximum upload size.
    #[error("the content exceeds the limit of {0} bytes")]
    TooLarge(u64),
    /// The owner has no such upload.
    #[error("the upload does not exist")]
    UploadNotFound,
    /// The upload has expired or failed.
    #[error("the upload has expired or failed")]
    UploadGone,
    /// The upload is complete.
    #[error("the upload is complete")]
    UploadComplete {
        /// SHA-1 of the file.
        sha1: Sha1,
        /// Size in bytes.
        length: u64,
    },
    /// The upload is a concatenation, which accepts no bytes.
    #[error("the upload is a concatenation and accepts no bytes")]
    UploadIsFinal,
    /// The request does not match the state of the upload.
    #[error(transparent)]
    Upload(#[from] UploadError),
    /// The request's bytes do not match their checksum; the offset of the upload is unchanged.
    #[error("the bytes do not match the declared checksum")]
    WrongChecksum(u64),
    /// A newer request continues the upload.
    #[error("a newer request continues the upload")]
    Superseded,
    /// Another process completed or removed the upload.
    #[error("the upload was completed or removed by another request")]
    SessionOver,
    /// The partial uploads cannot be concatenated.
    #[error("{0}")]
    InvalidParts(String),
    /// The owner has no such claim, or it was used or has expired.
    #[error("the claim does not exist, was used before, or has expired")]
    ClaimNotFound,
    /// The proof does not match the claimed content.
    #[error("the proof is not accepted; upload the file")]
    NotProven,
    /// The owner exceeded the claim rate; the time until the next claim is possible.
    #[error("too many claims; wait before the next one")]
    TooManyClaims(Duration),
    /// The upload exceeds the owner's quota.
    #[error(transparent)]
    QuotaFull(#[from] QuotaError),
    /// The link does not exist or has expired, or its file is gone.
    #[error("the link does not exist or has expired")]
    LinkNotFound,
    /// The cursor belongs to another listing.
    #[error("the cursor belongs to another listing")]
    InvalidCursor,
    /// Other requests kept changing the same entry or upload.
    #[error("other requests are changing the same file")]
    Contended,
    /// The owner's other listings took too long.
    #[error("the owner has too many simultaneous listings; wait for one to finish")]
    TooManyListings,
    /// The listings of other owners took too long.
    #[error("too many listings are running; try again")]
    ListingsBusy,
    /// The content of an available file has no row, or its row no bytes.
    #[error("the content {0} is missing from its store")]
    ContentLost(Sha1, #[source] Option<storage::Error>),
    /// The source of a copy does not match its row.
    #[error("the source of the copy at {0} is damaged and was not moved")]
    SourceDamaged(Address),
    /// A written copy does not match its source.
    #[error("the store returned other bytes than were written at {0}")]
    CopyDamaged(Address),
    /// A disk is not the one that the rows refer to.
    #[error("{}", wrong_disk(store, *expected, *found))]
    WrongDisk {
        /// Name of the store.
        store: String,
        /// Identity in the database.
        expected: RandomId,
        /// Identity on the disk, if it has one.
        found: Option<RandomId>,
    },
    /// A disk has bytes that another database registered.
    #[error(
        "the folder of the store `{0}` has files of another database, to which this one knows nothing; \
         set the database's URL, or take the files over with --adopt"
    )]
    ForeignDisk(String),
    /// The store is not configured.
    #[error("the store {0} is not configured")]
    UnknownStore(String),
    /// Source and target of a transfer are the same store.
    #[error("source and target are the same store")]
    SameStore,
    /// The transfer does not exist.
    #[error("the transfer does not exist")]
    TransferNotFound,
    /// The transfer has ended.
    #[error("the transfer has ended")]
    TransferEnded,
    /// The work was interrupted by the end of the process.
    #[error("the service is shutting down")]
    Interrupted,
    /// The database failed.
    #[error("the database failed")]
    Database(#[source] persistence::Error),
    /// The store failed.
    #[error("the store failed")]
    Store(#[from] storage::Error),
}

fn wrong_disk(store: &str, expected: RandomId, found: Option<RandomId>) -> String {
    match found {
        Some(found) => format!(
            "the folder of the store {store} is not the one in the database: its file `identity` \
             has {found} instead of {expected}"
        ),
        None => format!(
            "the folder of the store {store} is not the one in the database: it has no file \
             `identity` with {expected}; is its disk mounted?"
        ),
    }
}

impl From<persistence::Error> for Error {
    fn from(error: persistence::Error) -> Self {
        match error {
            persistence::Error::QuotaFull(full) => Self::QuotaFull(full),
            error => Self::Database(error),
        }
    }
}

impl Error {
    /// Returns whether every retry with this content would fail as well.
    #[must_use]
    pub fn is_final(&self) -> bool {
        matches!(
            self,
            Self::WrongSha1 { .. } | Self::WrongSha256 { .. } | Self::Collision(_)
        )
    }

    /// Returns whether the upload does not exist or needs no more bytes.
    pub(crate) fn needs_no_bytes(&self) -> bool {
        matches!(
            self,
            Self::UploadNotFound | Self::UploadGone | Self::UploadComplete { .. }
        )
    }
}
