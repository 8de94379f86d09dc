//! Transfers of all contents of one store to another.

use crate::{RandomId, Timestamp};

/// A transfer of all contents of one store to another.
///
/// It scans the source store again and again, and is done when a scan finds no content to copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transfer {
    /// The id of the transfer.
    pub id: RandomId,
    /// The source store.
    pub from: String,
    /// The target store.
    pub to: String,
    /// The largest number of bytes to copy in a second.
    pub rate: Option<u64>,
    /// The state of the transfer.
    pub state: TransferState,
    /// The number of complete scans.
    pub pass: u32,
    /// The number of jobs that the current scan created.
    pub found: u64,
    /// The number of the shard that the scan has reached; 256 is after the last shard.
    pub shard: u32,
    /// The row of that shard after which the scan continues.
    pub after_id: i64,
    /// The number of contents to copy.
    pub total_files: u64,
    /// The size of these contents in bytes.
    pub total_bytes: u64,
    /// The number of copied contents.
    pub copied_files: u64,
    /// The size of these contents in bytes.
    pub copied_bytes: u64,
    /// The time at which the created jobs will have been copied, at the given rate.
    pub paced_until: Timestamp,
    /// The process that plans the transfer: the one that creates its jobs.
    pub planner: Option<String>,
    /// The time until which no other process plans the transfer.
    pub planned_until: Timestamp,
    /// The time of creation.
    pub create_at: Timestamp,
    /// The time of the last progress.
    pub update_at: Timestamp,
    /// The time of the end.
    pub end_at: Option<Timestamp>,
}

/// The state of a transfer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransferState {
    /// The transfer is in progress.
    Running,
    /// The transfer found no more content to copy.
    Done,
    /// The transfer was cancelled.
    Cancelled,
}

/// The progress of the scan that plans a transfer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScanProgress {
    /// The number of complete scans.
    pub pass: u32,
    /// The number of jobs that the current scan created.
    pub found: u64,
    /// The number of the shard that the scan has reached; 256 is after the last shard.
    pub shard: u32,
    /// The row of that shard after which the scan continues.
    pub after_id: i64,
    /// The time at which the created jobs will have been copied, at the given rate.
    pub paced_until: Timestamp,
}
