//! The entries of owners: which owner has which content, under which name.

use crate::{FileMeta, FileName, FileStatus, Sha1, Timestamp};

/// One owner's entry for one content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The metadata that the owner sees.
    pub meta: FileMeta,
    /// Increases with every change.
    pub version: i64,
    /// The entry's position in its owner's listing.
    pub position: Position,
}

/// A position in a listing, newest first; unique among the entries of an owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// The upload time of the entry's content.
    pub upload_at: Timestamp,
    /// The number of the row, which orders uploads of the same time.
    pub id: i64,
}

/// Selects entries of an owner; an entry must meet all conditions.
#[derive(Debug, Clone)]
pub struct EntryFilter {
    /// The status of the entry.
    pub status: FileStatus,
    /// A part of the name, in upper or lower case.
    pub name: Option<String>,
    /// The contents, one of which the entry must be for.
    pub sha1s: Option<Vec<Sha1>>,
}

/// The new values of an entry.
#[derive(Debug, Clone)]
pub struct EntryUpdate {
    /// The new name.
    pub file_name: FileName,
    /// The new status; `None` marks the entry for the purge, after which it is hidden and cannot be
    /// restored.
    pub status: Option<FileStatus>,
    /// The time of the update.
    pub at: Timestamp,
}

/// The effect of an upload on its owner's entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryOutcome {
    /// The upload created the entry.
    Created,
    /// The entry was deleted; the upload restored it.
    Restored,
    /// The entry existed and is unchanged.
    Existing,
}
