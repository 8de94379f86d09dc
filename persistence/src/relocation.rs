//! Saying that a copy counts which was made in another store.
//!
//! The bytes are there before, and the copy that no longer counts stays for a time after, since
//! somebody may be reading it.

use domain::{Address, JobId, RandomId, StoredContent, Timestamp};
use sea_orm::{ConnectionTrait, DatabaseTransaction, ExprTrait, sea_query::Expr};

use crate::{
    contents,
    database::Database,
    entities::{AVAILABLE, file},
    error::Result,
    jobs, pending_deletions,
    shard::Shard,
    transfers,
};

/// A copy that was made.
#[derive(Debug, Clone)]
pub struct Relocation<'a> {
    /// The content, as it was seen when the copy was begun.
    pub content: &'a StoredContent,
    /// Where the copy is.
    pub to: &'a Address,
    /// Whether the copy becomes the second place, rather than the first.
    pub keeps_source: bool,
    /// The job that this completes, and who holds it.
    pub job: Option<(JobId, &'a str)>,
    /// The transfer that counts it.
    pub transfer: Option<RandomId>,
    /// Until when copies stay that the content's row no longer points at.
    pub deletion_due: Timestamp,
    /// When it is.
    pub now: Timestamp,
}

impl Database {
    /// Makes a content's row point at a copy, if the content is available and still lies where it
    /// was seen to, the copy is still expected ([`PendingDeletions::expect`](crate::PendingDeletions::expect))
    /// or is the second place already, and the job is still held by who says so; gives whether all
    /// that is so.
    ///
    /// The job goes, and is counted for its transfer, in the same transaction. The copy is to go no
    /// longer; what the row pointed at before, and does no more, is to go instead. Nothing is
    /// changed otherwise.
    ///
    /// Locks are taken in the order in which who records the content takes them.
    ///
    /// # Errors
    ///
    /// [`Error::CommitUnknown`](crate::Error::CommitUnknown) when the copy has to stay because the
    /// row may point at it; otherwise nothing was changed.
    pub async fn relocate(&self, relocation: &Relocation<'_>) -> Result<bool> {
        self.transact(|transaction| async move { relocate(&transaction, relocation).await })
            .await
    }
}

async fn relocate(transaction: &DatabaseTransaction, relocation: &Relocation<'_>) -> Result<bool> {
    let content = &relocation.content.content;
    let address = relocation.content.address.to_string();
    let expected = pending_deletions::lock(transaction, &content.sha1, relocation.to).await?;
    let lock = contents::lock(transaction, &content.sha1).await?;
    let is_as_seen = |row: &file::Model| row.status == AVAILABLE && row.file_addr == address;
    let Some(row) = lock.filter(is_as_seen) else {
        return Ok(false);
    };
    let old = StoredContent::try_from(row)?;
    // Nothing is changed before the last of what may stand against it.
    if expected.is_none() && old.second.as_ref() != Some(relocation.to) {
        return Ok(false);
    }
    if let Some((id, holder)) = relocation.job
        && !jobs::remove_in(transaction, id, holder).await?
    {
        return Ok(false);
    }
    let (first, second) = if relocation.keeps_source {
        (&old.address, Some(relocation.to))
    } else {
        // No store has the same bytes twice.
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
    for gone in std::iter::once(&old.address).chain(&old.second) {
        if gone != first && Some(gone) != second {
            let gone = gone.to_string();
            pending_deletions::schedule_in(
                transaction,
                &content.sha1,
                &gone,
                relocation.deletion_due,
            )
            .await?;
        }
    }
    pending_deletions::remove_in(transaction, &expected.unwrap_or_default()).await?;
    if let Some(transfer) = relocation.transfer {
        transfers::add_copied(transaction, transfer, content.size).await?;
    }
    Ok(true)
}
