//! Report.

use serde::Serialize;

use super::finding::Finding;

/// What to look at.
#[derive(Debug, Clone, Copy, Default)]
pub struct CheckOptions {
    /// Read all bytes, and compute their digests.
    pub digests: bool,
    /// Remove what was left behind, instead of telling of it.
    pub remove_orphans: bool,
}

/// What was looked at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Rows of contents.
    pub contents: u64,
    /// Bytes that they say they have.
    pub bytes: u64,
    /// Objects in the store.
    pub objects: u64,
    /// Owners' entries.
    pub entries: u64,
    /// Objects that no row points at, and that are too young to tell.
    pub young: u64,
    /// Objects that were left behind, and removed.
    pub removed: u64,
    /// Things that are not as they should be.
    pub findings: u64,
}

/// Who is told how a check goes.
pub trait CheckProgress {
    /// So many of all steps are done.
    fn steps(&mut self, done: u64, all: u64, summary: &Summary);
    /// Something was found.
    fn found(&mut self, finding: &Finding);
}
