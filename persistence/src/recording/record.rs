//! An upload to record, and the outcome.

use std::time::Duration;

use domain::{
    Address, BlockChecksums, Content, Entry, EntryOutcome, FileName, MediaType, Owner, Quota,
    RandomId, Timestamp,
};

use crate::{error::Result, row::signed};

/// An upload whose bytes are at their final address.
#[derive(Debug, Clone)]
pub struct UploadRecord<'a> {
    /// The owner who uploaded the content.
    pub owner: &'a Owner,
    /// The name of the file; ignored if the owner already has the content under another name.
    pub file_name: &'a FileName,
    /// The declared media type.
    pub content_type: &'a MediaType,
    /// The uploaded content.
    pub content: &'a Content,
    /// The checksums of its blocks, if they are known.
    pub checksums: Option<&'a BlockChecksums>,
    /// The address of the bytes; `None` if the service seems to have them already.
    pub address: Option<&'a Address>,
    /// True if the object at the address is scheduled for deletion
    /// ([`PendingDeletions::schedule`](crate::PendingDeletions::schedule)). The content's row then
    /// refers to the object only if the deletion is still pending.
    pub is_scheduled: bool,
    /// The copy to make, if the content's row then refers to the address.
    pub copy_to: Option<CopyTarget<'a>>,
    /// The address in the content's row, if the bytes are missing there.
    pub lost: Option<&'a Address>,
    /// The time after which to delete the copies that the content's row referred to before.
    pub deletion_grace: Duration,
    /// The session of the upload; recording the upload completes it.
    pub session: Option<RandomId>,
    /// The quota of owners who have no quota of their own; `None` if the owner had no limit when
    /// the upload began.
    pub quota: Option<Quota>,
    /// The time of the upload.
    pub at: Timestamp,
}

impl UploadRecord<'_> {
    /// The size of the content, as the columns of the tables hold it.
    pub(super) fn stored_size(&self) -> Result<i64> {
        signed("file", self.content.size)
    }
}

/// The copy to make of an uploaded content.
#[derive(Debug, Clone, Copy)]
pub struct CopyTarget<'a> {
    /// The target store.
    pub store: &'a str,
    /// True if the store of the upload keeps its copy.
    pub keeps_source: bool,
}

/// The outcome of recording an upload.
#[derive(Debug)]
pub enum RecordOutcome {
    /// The owner has the file.
    Recorded {
        /// The owner's entry.
        entry: Box<Entry>,
        /// The effect of the upload on the entry.
        outcome: EntryOutcome,
        /// The address of the content's bytes: another one than the upload's if the content was
        /// recorded before.
        address: Address,
    },
    /// The service does not have the bytes, and the upload has no address; or the object at the
    /// address is no longer scheduled for deletion, because the upload took too long.
    ContentMissing,
    /// The service has a content with the same SHA-1 and another SHA-256 or size.
    Collision,
    /// Another request completed, failed or removed the session.
    SessionClosed,
}
