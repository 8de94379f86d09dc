//! Errors of store operations.

use std::io;

use rustix::io::Errno;

/// The result of a store operation.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The reason why a store operation failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No space is left for more bytes.
    #[error("the store is full")]
    Full(#[source] io::Error),
    /// The store does not have the object.
    #[error("the store has no object {0}")]
    Missing(String),
    /// The object's size is not the one that was written.
    #[error("the object {key} has {found} bytes, expected {expected}")]
    WrongSize {
        /// The object's key.
        key: String,
        /// The size in bytes that was written.
        expected: u64,
        /// The size in bytes that was found.
        found: u64,
    },
    /// The object's bytes are not those that were written.
    #[error("the object {0} is damaged")]
    Damaged(String),
    /// The object ended before all requested bytes were read.
    #[error("the object {0} ended early")]
    Truncated(String),
    /// Another request is appending to the upload, and did not stop in time.
    #[error("the upload is in use")]
    InUse,
    /// The index of an upload's segments could not be read or updated.
    #[error("the segment index failed")]
    SegmentIndex(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The store cannot perform the operation.
    #[error("the store is unavailable")]
    Unavailable(#[source] io::Error),
}

impl Error {
    /// Returns whether the store answered, and does not have the bytes that were written.
    #[must_use]
    pub fn is_loss(&self) -> bool {
        matches!(
            self,
            Self::Missing(_) | Self::WrongSize { .. } | Self::Damaged(_)
        )
    }
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        let full = [Errno::NOSPC, Errno::DQUOT].map(|errno| Some(errno.raw_os_error()));
        if full.contains(&error.raw_os_error()) {
            Self::Full(error)
        } else {
            Self::Unavailable(error)
        }
    }
}

impl From<Errno> for Error {
    fn from(errno: Errno) -> Self {
        io::Error::from(errno).into()
    }
}
