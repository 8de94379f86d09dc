//! The rows of the tables.

pub(crate) mod checksum;
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
pub(crate) mod visit;

/// The status of a row whose file can be used.
pub(crate) const AVAILABLE: i32 = 0;
/// The status of a row whose file was deleted and can be restored.
pub(crate) const DELETED: i32 = 1;
/// The status of a row that awaits its removal and is treated as absent.
pub(crate) const PURGING: i32 = 2;
/// The status of a content whose bytes are not what they were. It is treated as absent, and the next
/// upload of the content replaces its bytes.
pub(crate) const DAMAGED: i32 = 3;
