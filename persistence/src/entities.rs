//! The rows as the tables have them.

pub(crate) mod claim;
pub(crate) mod file;
pub(crate) mod job;
pub(crate) mod lease;
pub(crate) mod leftover;
pub(crate) mod link;
pub(crate) mod segment;
pub(crate) mod staging;
pub(crate) mod store;
pub(crate) mod token;
pub(crate) mod transfer;
pub(crate) mod upload;
pub(crate) mod usage;
pub(crate) mod user_file;

/// A row whose file can be used.
pub(crate) const AVAILABLE: i32 = 0;
/// A row whose file was deleted, and can be restored.
pub(crate) const DELETED: i32 = 1;
/// A row that waits for its removal, and is as good as gone.
pub(crate) const PURGING: i32 = 2;
