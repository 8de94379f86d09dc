//! What can go wrong between the service and a store.

use std::io;

use rustix::io::Errno;

/// What a store's operation gives.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a store's operation failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no room left for more bytes.
    #[error("the store is full")]
    Full(#[source] io::Error),
    /// The store does not have the object.
    #[error("the store has no object {0}")]
    Missing(String),
    /// The object has another size than was written.
    #[error("the object {key} has {found} bytes, not {expected}")]
    WrongSize {
        /// The object's key.
        key: String,
        /// How many bytes it should have.
        expected: u64,
        /// How many bytes it has.
        found: u64,
    },
    /// Reading an object ended before as many bytes had come as were asked for.
    #[error("the object {0} ended early")]
    Ended(String),
    /// Somebody else is appending to the upload, and does not stop.
    #[error("the upload is in use")]
    InUse,
    /// What is known of an upload could not be noted, or not be read.
    #[error("the ledger of uploads failed")]
    Ledger(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The store cannot do what it is asked to.
    #[error("the store is unavailable")]
    Unavailable(#[source] io::Error),
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

/// Runs file system calls where they block no request but their own.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(stopped) => Err(Error::Unavailable(io::Error::other(stopped))),
    }
}
