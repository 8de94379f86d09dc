//! Making one object of an upload's segments.

use bytes::Bytes;
use domain::{Content, ContentHasher};

use super::index::Segment;
use crate::{bucket::client::Bucket, error::Result, metrics::Operation};

/// Parts that are copied into the object at a time.
const CONCURRENT_COPIES: usize = 4;

/// All bytes of an upload so far.
pub(crate) struct SegmentedUpload {
    pub(super) bucket: Bucket,
    pub(super) hasher: ContentHasher,
    pub(super) segments: Vec<Segment>,
    /// The whole upload, if it is small and came with one request.
    pub(super) memory: Option<Bytes>,
}

impl SegmentedUpload {
    pub(crate) fn bucket(&self) -> &Bucket {
        &self.bucket
    }

    pub(crate) fn offset(&self) -> u64 {
        self.hasher.size()
    }

    pub(crate) fn hasher(&self) -> ContentHasher {
        self.hasher.clone()
    }

    pub(crate) fn content(&self) -> Content {
        self.hasher.clone().finish()
    }

    /// Makes one object of the segments.
    pub(in crate::bucket) async fn compose(self, key: &str) -> Result<()> {
        if self.segments.is_empty() {
            return self.bucket.put(key, self.memory.unwrap_or_default()).await;
        }
        let copying = async {
            let copied = self.copy_segments(key).await;
            copied.map_err(|error| self.bucket.explain(&error))
        };
        self.bucket.metrics().time(Operation::Write, copying).await
    }

    async fn copy_segments(&self, key: &str) -> opendal::Result<()> {
        let writer = self
            .bucket
            .operator()
            .writer_with(key)
            .chunk(self.bucket.part_size())
            .concurrent(CONCURRENT_COPIES);
        let mut writer = writer.await?;
        let mut copied = Ok(());
        for segment in &self.segments {
            copied = writer.copy_from(&segment.key, 0..segment.size).await;
            if copied.is_err() {
                break;
            }
        }
        if copied.is_ok() {
            copied = writer.close().await.map(drop);
        }
        if copied.is_err() {
            // If this fails, the parts stay until they expire.
            let _ = writer.abort().await;
        }
        copied
    }
}
