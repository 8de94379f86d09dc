//! Turning staged bytes into an object of a bucket.

use bytes::Bytes;

use super::{client::Bucket, multipart::MultipartWriter, segments::SegmentedUpload};
use crate::error::Result;

/// The staged bytes of an object.
pub(crate) enum ObjectSource {
    /// Few enough to be kept in memory until the content is known to be new.
    InMemory(Bytes),
    /// Sent as parts while they arrived.
    Multipart(Box<MultipartWriter>),
    /// Staged as the segments of a resumable upload, which stay until the row is committed.
    Segments(Box<SegmentedUpload>),
}

impl Bucket {
    /// Creates an object of `size` bytes.
    pub(crate) async fn persist(&self, source: ObjectSource, key: &str, size: u64) -> Result<()> {
        let written = match source {
            ObjectSource::InMemory(bytes) => self.put(key, bytes).await,
            ObjectSource::Multipart(writer) => writer.complete().await,
            ObjectSource::Segments(segments) => segments.compose(key).await,
        };
        let Err(error) = written else {
            return Ok(());
        };
        // A response that came late, or was lost, may have been a success. If the store fails again
        // now, a later cleanup removes the object.
        match self.size(key).await {
            Ok(Some(found)) if found == size => Ok(()),
            Ok(Some(_)) => {
                let _ = self.remove(key).await;
                Err(error)
            }
            Ok(None) | Err(_) => Err(error),
        }
    }
}
