//! Reading the segments of an upload.

use bytes::Bytes;
use domain::ByteRange;
use futures_util::{StreamExt as _, stream, stream::BoxStream};

use super::index::{Segment, UploadProgress};
use crate::{
    bucket::{client::Bucket, object::stream_of},
    error::Result,
};

/// The staged bytes of an upload in a bucket.
#[derive(Clone)]
pub struct SegmentedObject {
    bucket: Bucket,
    size: u64,
    segments: Vec<Segment>,
}

impl Bucket {
    /// Returns the staged bytes of an upload, for reading.
    #[must_use]
    pub fn open_staged(&self, progress: UploadProgress) -> SegmentedObject {
        SegmentedObject {
            bucket: self.clone(),
            size: progress.bytes,
            segments: progress.segments,
        }
    }
}

impl SegmentedObject {
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    pub(crate) fn stream(self, range: ByteRange) -> BoxStream<'static, Result<Bytes>> {
        stream_of_segments(&self.bucket, self.segments, range)
    }
}

/// Streams a range of an upload from its segments.
pub(super) fn stream_of_segments(
    bucket: &Bucket,
    segments: Vec<Segment>,
    range: ByteRange,
) -> BoxStream<'static, Result<Bytes>> {
    let bucket = bucket.clone();
    let parts = segments.into_iter().filter_map(move |segment| {
        let end = segment.start + segment.size;
        let part = ByteRange {
            start: range.start.max(segment.start),
            end: range.end.min(end),
        };
        (part.start < part.end).then(|| {
            let within = ByteRange {
                start: part.start - segment.start,
                end: part.end - segment.start,
            };
            stream_of(&bucket, &segment.key, within)
        })
    });
    stream::iter(parts).flatten().boxed()
}
