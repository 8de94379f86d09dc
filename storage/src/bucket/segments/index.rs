//! The index of an upload's segments, which the caller keeps.

use futures_util::future::BoxFuture;

use crate::error::Result;

/// A contiguous part of an upload's bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// The position of its first byte in the upload.
    pub start: u64,
    /// Its size in bytes.
    pub size: u64,
    /// The key of the object that contains the bytes.
    pub key: String,
}

/// The bytes of an upload that count.
#[derive(Debug, Clone, Default)]
pub struct UploadProgress {
    /// Their number.
    pub bytes: u64,
    /// The hash state after them; `None` if there are none.
    pub hash_state: Option<Vec<u8>>,
    /// Their segments, in order.
    pub segments: Vec<Segment>,
}

/// A change of the bytes that count.
#[derive(Debug, Clone, Default)]
pub struct SegmentUpdate {
    /// The new number of bytes.
    pub bytes: u64,
    /// The hash state after them.
    pub hash_state: Vec<u8>,
    /// The new segments.
    pub added: Vec<Segment>,
    /// The starts of the segments that the new ones replace.
    pub removed: Vec<u64>,
}

/// The index of an upload's segments, shared by all processes.
pub trait SegmentIndex: Send + Sync {
    /// Applies an update. Returns `false`, and changes nothing, if another request has taken the
    /// upload over.
    fn advance<'a>(&'a self, update: &'a SegmentUpdate) -> BoxFuture<'a, Result<bool>>;

    /// Returns whether another request has taken the upload over.
    fn is_superseded(&self) -> BoxFuture<'_, Result<bool>>;
}
