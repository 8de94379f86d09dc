//! Jobs: copies of contents from one store to another.

use crate::{RandomId, Sha1, Timestamp};

/// The id of a job.
pub type JobId = i64;

/// A copy to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewJob {
    /// The SHA-1 of the content.
    pub sha1: Sha1,
    /// The size of the content in bytes.
    pub size: u64,
    /// The source store.
    pub from: String,
    /// The target store.
    pub to: String,
    /// True if the source store keeps its copy.
    pub keeps_source: bool,
    /// The transfer that the job belongs to.
    pub transfer: Option<RandomId>,
    /// The time at which to start.
    pub due_at: Timestamp,
}

/// A copy to make, with the state of the work on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// The id of the job.
    pub id: JobId,
    /// The SHA-1 of the content.
    pub sha1: Sha1,
    /// The size of the content in bytes.
    pub size: u64,
    /// The source store.
    pub from: String,
    /// The target store.
    pub to: String,
    /// True if the source store keeps its copy.
    pub keeps_source: bool,
    /// The transfer that the job belongs to.
    pub transfer: Option<RandomId>,
    /// The time at which to start; of a claimed job, the end of the claim; of a published one, the
    /// time from which to publish it again.
    pub due_at: Timestamp,
    /// The number of failed attempts.
    pub attempts: u32,
    /// The error of the last failed attempt.
    pub error: Option<String>,
    /// True if there will be no further attempt.
    pub is_dead: bool,
    /// The time of creation.
    pub create_at: Timestamp,
}

/// The number of jobs by state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct JobCounts {
    /// Jobs that are waiting or running.
    pub waiting: u64,
    /// Jobs without a further attempt.
    pub dead: u64,
    /// The creation time of the oldest job that is waiting or running.
    pub oldest: Option<Timestamp>,
}
