//! Why a use case did not do what was asked.

use std::time::Duration;

use domain::{Address, QuotaError, RandomId, Sha1, Sha256, UploadError};

/// What a use case gives.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a use case did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The owner has no such file.
    #[error("there is no such file")]
    NotFound,
    /// The entry is not in the state that the request depends on.
    #[error("the file was changed meanwhile")]
    PreconditionFailed,
    /// The content does not have the SHA-1 that was announced.
    #[error("the content's SHA-1 is {found}, not {expected}")]
    WrongSha1 {
        /// What was announced.
        expected: Sha1,
        /// What arrived.
        found: Sha1,
    },
    /// The content does not have the SHA-256 that was announced.
    #[error("the content's SHA-256 is {found}, not {expected}")]
    WrongSha256 {
        /// What was announced.
        expected: Sha256,
        /// What arrived.
        found: Sha256,
    },
    /// Another content with this SHA-1 is stored.
    #[error("another content has the SHA-1 {0}")]
    Collision(Sha1),
    /// The content has more bytes than may be uploaded.
    #[error("the content has more than {0} bytes")]
    TooLarge(u64),
    /// The owner has no such upload.
    #[error("there is no such upload")]
    UploadNotFound,
    /// The upload expired, or cannot become a file any more.
    #[error("the upload has expired, or cannot be completed any more")]
    UploadGone,
    /// The upload has become a file already.
    #[error("the upload is complete")]
    UploadComplete {
        /// The file.
        sha1: Sha1,
        /// How many bytes it has.
        length: u64,
    },
    /// The upload is made of others, and takes no bytes of its own.
    #[error("the upload is made of others")]
    UploadIsFinal,
    /// The request does not fit to where its upload stands.
    #[error(transparent)]
    Upload(#[from] UploadError),
    /// The request's bytes do not have the checksum that was announced; the upload has as many
    /// bytes as before.
    #[error("the bytes do not have the checksum that was announced")]
    WrongChecksum(u64),
    /// A newer request goes on with the upload.
    #[error("a newer request goes on with the upload")]
    Superseded,
    /// The upload was completed or removed by another process meanwhile.
    #[error("the upload is over")]
    SessionOver,
    /// What an upload is to be made of cannot be.
    #[error("{0}")]
    InvalidParts(String),
    /// The owner has no such claim, or it was used, or it is over.
    #[error("there is no such claim, or it was used before, or it has expired")]
    ClaimNotFound,
    /// It was not proven that the owner has what the service has.
    #[error("the claim is not proven; upload the file")]
    NotProven,
    /// The owner makes too many claims.
    #[error("too many claims were made; wait before the next one")]
    TooManyClaims(Duration),
    /// The owner has no room for more.
    #[error(transparent)]
    QuotaFull(#[from] QuotaError),
    /// There is no such link, or it is over, or its file is not there any more.
    #[error("there is no such link, or it does not work any more")]
    LinkNotFound,
    /// The cursor was not made for this listing.
    #[error("the cursor does not belong to this listing")]
    InvalidCursor,
    /// Others changed the same entry again and again.
    #[error("the file is being changed by others")]
    Contended,
    /// An available file's content has no row, or its row no bytes.
    #[error("the content {0} is not where it should be")]
    ContentLost(Sha1, #[source] Option<storage::Error>),
    /// What was read of a copy is not what its row says.
    #[error("the copy at {0} is damaged, and stays where it is")]
    SourceDamaged(Address),
    /// What was written to a store did not come back as it was.
    #[error("the store gave other bytes back than it was given, at {0}")]
    CopyDamaged(Address),
    /// A disk is not the one whose contents the rows mean.
    #[error("{}", wrong_disk(store, *expected, *found))]
    WrongDisk {
        /// The store.
        store: String,
        /// What its folder should be told by.
        expected: RandomId,
        /// What it is told by, if it is.
        found: Option<RandomId>,
    },
    /// The settings have no such store.
    #[error("the settings have no store {0}")]
    UnknownStore(String),
    /// A store cannot be emptied into itself.
    #[error("the two stores are the same")]
    SameStore,
    /// There is no such transfer.
    #[error("there is no such transfer")]
    TransferNotFound,
    /// The transfer has ended.
    #[error("the transfer has ended")]
    TransferEnded,
    /// The work was cut off by the end of the process.
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
            "the folder of the store {store} is another one than the database means: its file \
             `identity` says {found}, not {expected}"
        ),
        None => format!(
            "the folder of the store {store} is not the one that the database means: it has no \
             file `identity`, which would say {expected}; is its disk mounted?"
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
    /// Whether the content is refused for what it is, however often it is tried.
    #[must_use]
    pub fn is_final(&self) -> bool {
        matches!(
            self,
            Self::WrongSha1 { .. } | Self::WrongSha256 { .. } | Self::Collision(_)
        )
    }

    /// Whether there is no upload, or none that needs its bytes.
    pub(crate) fn is_over(&self) -> bool {
        matches!(
            self,
            Self::UploadNotFound | Self::UploadGone | Self::UploadComplete { .. }
        )
    }
}
