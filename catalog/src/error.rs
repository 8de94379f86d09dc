//! Why a use case did not do what was asked.

use domain::{Sha1, Sha256};

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
    /// The cursor was not made for this listing.
    #[error("the cursor does not belong to this listing")]
    ForeignCursor,
    /// Others changed the same entry again and again.
    #[error("the file is being changed by others")]
    Contended,
    /// An available file's content has no row, or its row no bytes.
    #[error("the content {0} is not where it should be")]
    ContentLost(Sha1, #[source] Option<storage::Error>),
    /// The work was cut off by the end of the process.
    #[error("the service is shutting down")]
    Interrupted,
    /// The database failed.
    #[error("the database failed")]
    Database(#[from] persistence::Error),
    /// The store failed.
    #[error("the store failed")]
    Store(#[from] storage::Error),
}
