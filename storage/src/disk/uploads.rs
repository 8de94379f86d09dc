//! Resumable uploads on a disk.
//!
//! `uploads/<id>.part` contains the bytes. Their number is the upload's offset, so that a crash
//! cannot make the two disagree. `uploads/<id>.state` contains the state of the hashes, so that no
//! byte is read again, and the number of bytes that are known to be on the disk, which are those
//! that count after a power failure. The request that appends has the state file locked.

pub(crate) mod append;
mod manage;
pub(crate) mod staged;
pub(super) mod state;

pub use append::DiskAppendWriter;

#[cfg(test)]
mod tests;
