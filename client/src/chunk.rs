//! The chunks in which uploads are read and sent.

use std::io;

use bytes::Bytes;

use crate::error::ClientError;

/// The number of bytes that one request uploads, and that a stream keeps in memory.
pub(crate) const CHUNK_SIZE: usize = 8 * 1024 * 1024;

/// Consecutive bytes of an upload.
pub(crate) struct Chunk {
    pub(crate) bytes: Bytes,
    /// The size of the whole upload in bytes, once it is known.
    pub(crate) total: Option<u64>,
}

/// Runs blocking work on a thread for such work.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, ClientError> {
    let result = tokio::task::spawn_blocking(work).await;
    result
        .map_err(ClientError::local)?
        .map_err(ClientError::local)
}
