//! Relocation: making a copy in another store count.
//!
//! The bytes are there before. The copy that no longer counts stays for a while, because a download
//! may still read it.

use domain::{Address, JobId, RandomId, StoredContent, Timestamp};
use sea_orm::{ConnectionTrait, DatabaseTransaction, ExprTrait, sea_query::Expr};

use crate::{
    boxed, contents,
    database::Database,
    entities::{AVAILABLE, file},
    error::Result,
    jobs, pending_deletions,
    shard::Shard,
    transfers,
};

/// A finished copy that is to count.
#[derive(Debug, Clone)]
pub struct Relocation<'a> {
    /// The content, as it was when the copy began.
    pub content: &'a StoredContent,
    /// The address of the copy.
    pub to: &'a Address,
    /// True if the copy becomes the second copy, false if it replaces the first one.
    pub keeps_source: bool,
    /// The job that this completes, and the worker that claimed it.
    pub job: Option<(JobId, &'a str)>,
    /// The transfer that counts the copy.
    pub transfer: Option<RandomId>,
    /// The time at which to delete copies that the content's row no longer refers to.
    pub deletion_due: Timestamp,
    /// The current time.
    pub now: Timestamp,
}

impl Database {
    /// Makes a content's row refer to a copy; returns whether it does.
    ///
    /// It does not, and nothing changes, unless the content is available and still has the address
    /// that was seen, the deletion of the copy is still pending
    /// ([`PendingDeletions::schedule`](crate::PendingDeletions::schedule)) or the copy is the
    /// second one already, and the worker's claim on the job is still valid.
    ///
    /// The same transaction removes the job, counts the copy for the transfer, cancels the deletion
    /// of the copy, and schedules the deletion of copies that the row no longer refers to.
    ///
    /// Takes locks in the same order as the transaction that records an upload.
    ///
    /// # Errors
    ///
    /// [`Error::CommitUnknown`](crate::Error::CommitUnknown) when the copy must stay because the
    /// row may refer to it; after any other error nothing has changed.
    #[boxed]
    pub async fn relocate(&self, relocation: &Relocation<'_>) -> Result<bool> {
        self.transact(|transaction| async move { relocate(&transaction, relocation).await })
            .await
    }
}

async fn relocate(transaction: &DatabaseTransaction, relocation: &Relocation<'_>) -> Result<bool> {
    let content = &relocation.content.content;
    let address = relocation.content.address.to_string();
    let pending = pending_deletions::lock(transaction, &content.sha1, relocation.to).await?;
    let locked = contents::lock(transaction, &content.sha1).await?;
    let is_as_seen = |row: &file::Model| row.status == AVAILABLE && row.file_addr == address;
    let Some(row) = locked.filter(is_as_seen) else {
        return Ok(false);
    };
    let old = StoredContent::try_from(row)?;
    // All conditions are checked before the first change.
    if pending.is_none() && old.second.as_ref() != Some(relocation.to) {
        return Ok(false);
    }
    if let Some((id, worker)) = relocation.job
        && !jobs::remove_in(transaction, id, worker).await?
    {
        return Ok(false);
    }
    let (first, second) = if relocation.keeps_source {
        (&old.address, Some(relocation.to))
    } else {
        // A store never has two copies of the same content.
        let elsewhere = |second: &&Address| second.store != relocation.to.store;
        (relocation.to, old.second.as_ref().filter(elsewhere))
    };
    let update = Shard::of(&content.sha1)
        .update()
        .value(file::Column::FileAddr, first.to_string())
        .value(file::Column::Ext2, second.map(Address::to_string))
        .value(file::Column::UpdateAt, relocation.now.microseconds())
        .and_where(Expr::col(file::Column::FileSha1).eq(content.sha1.to_string()))
        .and_where(Expr::col(file::Column::Status).eq(AVAILABLE))
        .and_where(Expr::col(file::Column::FileAddr).eq(&address))
        .take();
    transaction.execute(&update).await?;
    for old_address in std::iter::once(&old.address).chain(&old.second) {
        if old_address != first && Some(old_address) != second {
            let old_address = old_address.to_string();
            pending_deletions::schedule_in(
                transaction,
                &content.sha1,
                &old_address,
                relocation.deletion_due,
            )
            .await?;
        }
    }
    pending_deletions::remove_in(transaction, &pending.unwrap_or_default()).await?;
    if let Some(transfer) = relocation.transfer {
        transfers::add_copied(transaction, transfer, content.size).await?;
    }
    Ok(true)
}
