//! The sizes, in bytes, of the pieces in which objects are moved.

/// Bytes read from an object at a time. A download takes up three times as much memory: one piece is
/// sent, one waits, one is read.
pub(crate) const READ_SIZE: u64 = 256 * 1024;

/// Bytes hashed and written at a time. An upload to a disk takes up twice as much memory.
pub(crate) const BATCH_SIZE: usize = 512 * 1024;

/// Bytes read, hashed or written at a time while there is no memory for more.
pub(crate) const SMALL_SIZE: usize = 64 * 1024;
