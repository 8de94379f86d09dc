//! The staged bytes of an upload, and their progress.

/// The staged bytes of an upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Staging {
    /// The store of the bytes.
    pub store: String,
    /// The number of bytes that count.
    pub bytes: u64,
    /// The number of times that the upload was taken over.
    pub epoch: i64,
    /// The hash state over these bytes, in the format of the hasher.
    pub hash_state: Option<Vec<u8>>,
    /// The objects with the bytes, in the order of the bytes.
    pub segments: Vec<Segment>,
}

/// An object with some of an upload's bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// The offset of its first byte in the upload.
    pub start: u64,
    /// The number of its bytes.
    pub size: u64,
    /// The object's key in the store.
    pub key: String,
}

/// The progress of an upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Advance {
    /// The number of bytes that now count.
    pub bytes: u64,
    /// The hash state over these bytes; at most 512 bytes.
    pub hash_state: Vec<u8>,
    /// The new objects.
    pub added: Vec<Segment>,
    /// The offsets of objects that no longer count; they are removed before the new ones are added.
    pub removed: Vec<u64>,
}
