//! Handing the files of one owner over to another.

use domain::{FileStatus, Owner};
use persistence::Handover;

use crate::{FileService, Result, boxed};

/// Number of entries that change hands in one transaction.
const BATCH: u64 = 200;

/// The numbers of files of a handover.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct HandoverCounts {
    /// Files that the other owner has now.
    pub moved: u64,
    /// Files that stay, since the other owner has their contents already.
    pub left: u64,
}

impl FileService {
    /// Hands all files of an owner over to another, the deleted ones too, with their links; with `dry_run`
    /// they are only counted.
    ///
    /// The files go in batches: after an interruption the next call goes on. Unfinished uploads stay,
    /// and so do files whose contents the other owner has already. Quotas do not matter. A cache may
    /// show the files to the first owner until their entries in it expire, if it cannot be reached.
    ///
    /// # Errors
    ///
    /// When the database fails.
    #[boxed]
    pub async fn hand_over(
        &self,
        from: &Owner,
        to: &Owner,
        dry_run: bool,
    ) -> Result<HandoverCounts> {
        let mut counts = HandoverCounts::default();
        let entries = self.0.database.entries();
        for status in [FileStatus::Available, FileStatus::Deleted] {
            let mut after = None;
            loop {
                let handover = Handover {
                    from,
                    to,
                    status,
                    after,
                    limit: BATCH,
                    dry_run,
                };
                let done = entries.hand_over(&handover).await?;
                counts.moved += done.moved.len() as u64;
                counts.left += done.left;
                if !dry_run {
                    for sha1 in &done.moved {
                        self.invalidate(from, sha1).await;
                    }
                }
                if done.last.is_none() {
                    break;
                }
                after = done.last;
            }
        }
        Ok(counts)
    }
}
