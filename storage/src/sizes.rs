//! The sizes, in bytes, of the pieces in which objects are moved.

/// Bytes read from an object at a time.
pub(crate) const READ_SIZE: u64 = 256 * 1024;

/// Bytes hashed and written at a time. An upload to a disk takes up twice as much memory.
pub(crate) const BATCH_SIZE: usize = 512 * 1024;
