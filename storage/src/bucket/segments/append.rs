//! Appending bytes to a resumable upload in a bucket.

use domain::{Checksum, ContentHasher, RandomId};
use tokio::runtime::Handle;

use super::{
    index::{SegmentIndex, UploadProgress},
    writer::{Open, SegmentAppendOutcome, damaged},
};
use crate::{bucket::client::Bucket, error::Result};

/// Appends bytes to an upload.
///
/// Dropping it keeps the bytes, unless they were to be verified.
pub struct SegmentWriter(Option<Open>);

impl Bucket {
    /// Starts to append to an upload with this progress. The appended bytes must match the
    /// checksums.
    ///
    /// # Errors
    ///
    /// If the progress is inconsistent.
    pub fn append(
        &self,
        id: RandomId,
        progress: UploadProgress,
        index: Box<dyn SegmentIndex>,
        checksums: Vec<Checksum>,
    ) -> Result<SegmentWriter> {
        let content = match &progress.hash_state {
            None => ContentHasher::default(),
            Some(state) => ContentHasher::restore(state).ok_or_else(damaged)?,
        };
        if content.size() != progress.bytes {
            return Err(damaged());
        }
        let open = Open::new(
            self.clone(),
            id,
            index,
            progress.segments,
            content,
            checksums,
        );
        Ok(SegmentWriter(Some(open)))
    }
}

impl SegmentWriter {
    pub(crate) fn offset(&self) -> u64 {
        self.0.as_ref().map_or(0, Open::offset)
    }

    pub(crate) async fn is_superseded(&self) -> Result<bool> {
        match &self.0 {
            Some(open) => open.is_superseded().await,
            None => Ok(false),
        }
    }

    pub(crate) async fn write(&mut self, bytes: &[u8]) -> Result<()> {
        match &mut self.0 {
            Some(open) => open.write(bytes).await,
            None => Ok(()),
        }
    }

    /// Ends the append after all bytes of the request. `is_last` if they complete the upload.
    pub(crate) async fn end(mut self, is_last: bool) -> Result<SegmentAppendOutcome> {
        match self.0.take() {
            Some(open) => open.end(true, is_last).await,
            None => Ok(SegmentAppendOutcome::ChecksumMismatch(0)),
        }
    }

    /// Ends the append before all bytes of the request arrived. Returns the upload's offset.
    pub(crate) async fn suspend(mut self) -> Result<u64> {
        match self.0.take() {
            Some(open) => match open.end(false, false).await? {
                SegmentAppendOutcome::Appended(upload) => Ok(upload.offset()),
                SegmentAppendOutcome::ChecksumMismatch(offset) => Ok(offset),
            },
            None => Ok(0),
        }
    }
}

impl Drop for SegmentWriter {
    fn drop(&mut self) {
        if let (Some(open), Ok(runtime)) = (self.0.take(), Handle::try_current()) {
            runtime.spawn(async move {
                // Bytes that could not be written do not count either.
                let _ = open.end(false, false).await;
            });
        }
    }
}
