//! Copies a content for a job.
//!
//! The steps: claim the job, so that only one worker executes it; read the bytes, and write them
//! under a key that was never used; read them back and hash them, which detects damage on the way
//! and in the source; then, in one transaction, point the content's row at the copy if the row is
//! unchanged, end the job, and schedule the deletion of the old copy. Each step can be repeated,
//! and nothing that a crash leaves behind is lost: the deletion of an object without a row is
//! scheduled before the object exists.

use std::time::{Duration, Instant};

use domain::{Address, ByteRange, Job, StoredContent, TransferState};
use futures_util::StreamExt as _;
use persistence::Relocation;
use storage::{Object, StagedObject, Store};

use crate::{Error, FileService, Result, digest::digest};

/// Result of a copy.
pub(crate) enum CopyOutcome {
    Copied,
    Unnecessary,
    /// The content or the job has changed in the meantime.
    Changed,
}

impl FileService {
    pub(crate) async fn make_copy(&self, job: &Job, worker: &str) -> Result<CopyOutcome> {
        let found = self.0.database.contents().find(&job.sha1).await?;
        let Some(row) = found.filter(|row| is_needed(job, row)) else {
            return Ok(CopyOutcome::Unnecessary);
        };
        let source = self.0.stores.of(&row.address)?;
        let target = self.0.stores.named(&job.to)?;
        let Some(rate) = self.rate_of(job).await? else {
            return Ok(CopyOutcome::Unnecessary);
        };
        let received = copy_bytes(source, &row, target, rate).await?;
        let (address, _) = received.address();
        self.schedule_deletion(&job.sha1, &address).await?;
        let placed = received.persist().await?;
        let back = match digest(target, &address.key, row.content.size).await {
            Ok(content) if content == row.content => Ok(()),
            Ok(_) => Err(find_damaged_side(source, &row, &address).await),
            Err(error) => Err(error.into()),
        };
        if let Err(error) = back {
            self.discard(placed, &job.sha1, true).await;
            return Err(error);
        }
        let now = self.0.clock.now();
        let switch = Relocation {
            content: &row,
            to: &address,
            keeps_source: job.keeps_source,
            job: Some((job.id, worker)),
            transfer: job.transfer,
            deletion_due: now.after(self.0.limits.copy_grace),
            now,
        };
        match self.0.database.relocate(&switch).await {
            Ok(true) => {
                placed.commit().await;
                self.0.addresses.forget(&job.sha1);
                Ok(CopyOutcome::Copied)
            }
            Ok(false) => {
                self.discard(placed, &job.sha1, true).await;
                if self.is_current(&row).await? {
                    // The copy took so long that the object counted as abandoned, or the worker as
                    // dead.
                    return Err(Error::Contended);
                }
                Ok(CopyOutcome::Changed)
            }
            Err(error @ persistence::Error::CommitUnknown(_)) => {
                self.resolve_commit_later(placed, job.sha1);
                Err(error.into())
            }
            Err(error) => {
                self.discard(placed, &job.sha1, true).await;
                Err(error.into())
            }
        }
    }

    /// Rate limit of the job's transfer in bytes per second; `Some(None)` without a limit, `None`
    /// if the transfer was cancelled.
    async fn rate_of(&self, job: &Job) -> Result<Option<Option<u64>>> {
        let Some(id) = job.transfer else {
            return Ok(Some(None));
        };
        let transfer = self.0.database.transfers().find(id).await?;
        Ok(match transfer {
            Some(transfer) if transfer.state == TransferState::Cancelled => None,
            transfer => Some(transfer.and_then(|transfer| transfer.rate)),
        })
    }
}

/// Returns whether the content is still in the source store and not yet in the target store.
fn is_needed(job: &Job, row: &StoredContent) -> bool {
    let is_there = row.copies().any(|copy| copy.store == job.to);
    row.address.store == job.from && !(is_there && job.keeps_source)
}

/// Copies the bytes of a content from one store to another.
async fn copy_bytes(
    source: &Store,
    row: &StoredContent,
    target: &Store,
    rate: Option<u64>,
) -> Result<StagedObject> {
    let whole = ByteRange::whole(row.content.size);
    let mut incoming = target.writer_for(row.content);
    // Before the source takes any.
    incoming.wait_for_memory().await;
    let opened = source.open_object(&row.address.key, row.content.size, whole);
    let object: Object = opened.await?;
    let mut pieces = object.stream(whole);
    let (began, mut copied) = (Instant::now(), 0);
    while let Some(piece) = pieces.next().await {
        let piece = piece?;
        incoming.write(&piece).await?;
        copied += piece.len() as u64;
        if let Some(rate) = rate {
            let takes = time_for(copied, rate);
            tokio::time::sleep(takes.saturating_sub(began.elapsed())).await;
        }
    }
    Ok(incoming.finish().await?)
}

/// Reads the source again after a damaged copy, and returns which of the two is damaged.
async fn find_damaged_side(source: &Store, row: &StoredContent, copy: &Address) -> Error {
    match digest(source, &row.address.key, row.content.size).await {
        Ok(content) if content == row.content => Error::CopyDamaged(copy.clone()),
        Ok(_) => Error::SourceDamaged(row.address.clone()),
        Err(error) => error.into(),
    }
}

/// Time that `bytes` take at a rate in bytes per second.
pub(crate) fn time_for(bytes: u64, rate: u64) -> Duration {
    let nanoseconds = u128::from(bytes) * 1_000_000_000 / u128::from(rate.max(1));
    Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_grows_with_bytes_and_falls_with_rate() {
        assert_eq!(time_for(100, 50), Duration::from_secs(2));
        assert_eq!(time_for(0, 50), Duration::ZERO);
        assert_eq!(time_for(u64::MAX, 1), Duration::from_nanos(u64::MAX));
    }
}
