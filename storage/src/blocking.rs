//! File system calls, kept away from the threads that serve requests.

use std::io;

use crate::error::{Error, Result};

/// Runs file system calls on a thread where they block no other request.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(stopped) => Err(Error::Unavailable(io::Error::other(stopped))),
    }
}
