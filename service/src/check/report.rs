//! Options, progress and result of a check.

use serde::Serialize;

use super::finding::Finding;

/// Options of a check.
#[derive(Debug, Clone, Copy, Default)]
pub struct CheckOptions {
    /// Read all bytes and verify their digests.
    pub digests: bool,
    /// Remove orphans instead of reporting them.
    pub remove_orphans: bool,
}

/// Totals of a check.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Rows of contents.
    pub contents: u64,
    /// Total size of these contents according to their rows.
    pub bytes: u64,
    /// Objects in the stores.
    pub objects: u64,
    /// Owners' entries.
    pub entries: u64,
    /// Objects without a row that are too young to count as orphans.
    pub young: u64,
    /// Removed orphans.
    pub removed: u64,
    /// Reported findings.
    pub findings: u64,
}

/// Receiver of a check's progress and findings.
pub trait CheckProgress {
    /// Reports that `done` of `all` steps are finished.
    fn steps(&mut self, done: u64, all: u64, summary: &Summary);
    /// Reports a finding.
    fn found(&mut self, finding: &Finding);
}
