//! Recording an upload: the content's row and the owner's entry, in one transaction.

mod content;
mod entry;
mod record;

use domain::{Address, NewJob, Sha1, StoredContent};
use sea_orm::DatabaseTransaction;

pub use self::record::{CopyTarget, RecordOutcome, UploadRecord};
use self::{
    content::{claim_content, insert_to_lock},
    entry::claim_entry,
};
use crate::{
    boxed, checksums,
    database::Database,
    entities::{file, upload},
    error::{Error, Result},
    jobs, pending_deletions,
    sessions::completion,
    transaction::attempt,
    usage,
};

impl Database {
    /// Records an upload: one row for the content, one entry for the owner, even if other requests
    /// record the same content at the same time.
    ///
    /// Concurrent requests queue for the content's row, and take locks in this order: session,
    /// pending deletion, content, job, entry, usage. So the entry cannot change between the read
    /// and the write, except when its owner renames or deletes it; a guarded update detects that.
    ///
    /// # Errors
    ///
    /// [`Error::CommitUnknown`] when the bytes must stay, because the row may exist; after any
    /// other error nothing was recorded. [`Error::QuotaFull`] when the file exceeds the owner's
    /// quota.
    #[boxed]
    pub async fn record(&self, record: &UploadRecord<'_>) -> Result<RecordOutcome> {
        self.transact(|transaction| async move { self::record(&transaction, record).await })
            .await
    }

    /// Reports whether the first or the second address in a content's row is `address`, after a
    /// transaction with an unknown outcome.
    ///
    /// Inserts a row for the content and rolls it back, or locks the existing row. That waits for
    /// any other transaction that has inserted or changed the row and may still commit: a row that
    /// does not exist afterwards will not appear later.
    ///
    /// # Errors
    ///
    /// When the database fails, or the other transaction does not end in time.
    #[boxed]
    pub async fn is_recorded(&self, content: &Sha1, address: &Address) -> Result<bool> {
        let find = || async {
            let transaction = self.begin().await?;
            let found = insert_to_lock(&transaction, content).await;
            // The transaction must leave nothing behind, so the way it ends does not matter.
            let _ = transaction.rollback().await;
            let address = address.to_string();
            let has_address =
                |row: file::Model| row.file_addr == address || row.ext2 == Some(address);
            Ok::<_, Error>(found?.is_some_and(has_address))
        };
        attempt(find).await
    }
}

async fn record(
    transaction: &DatabaseTransaction,
    record: &UploadRecord<'_>,
) -> Result<RecordOutcome> {
    let mut session = None;
    if let Some(id) = record.session {
        session = completion::lock_open(transaction, id).await?;
        if session.is_none() {
            return Ok(RecordOutcome::SessionClosed);
        }
    }
    let mut pending = Vec::new();
    if let Some(address) = record.address.filter(|_| record.is_scheduled) {
        let sha1 = &record.content.sha1;
        let Some(locked) = pending_deletions::lock(transaction, sha1, address).await? else {
            return Ok(RecordOutcome::ContentMissing);
        };
        pending = locked;
    }
    let Some(row) = claim_content(transaction, record).await? else {
        return Ok(RecordOutcome::ContentMissing);
    };
    if row.content()? != *record.content {
        return Ok(RecordOutcome::Collision);
    }
    let StoredContent { address, .. } = row.try_into()?;
    if record.address == Some(&address) {
        if let Some(checksums) = record.checksums {
            checksums::insert_groups(transaction, &record.content.sha1, checksums).await?;
        }
        pending_deletions::remove_in(transaction, &pending).await?;
        insert_copy_job(transaction, record, &address).await?;
    }
    let claimed = claim_entry(transaction, record).await?;
    if claimed.adds_usage {
        add_usage(transaction, record, session.as_ref()).await?;
    }
    if let (Some(id), Some(session)) = (record.session, &session) {
        completion::complete(transaction, id, record.content).await?;
        completion::remove_parts(transaction, session).await?;
    }
    Ok(RecordOutcome::Recorded {
        entry: Box::new(claimed.row.try_into()?),
        outcome: claimed.outcome,
        address,
    })
}

/// Adds the job that copies the content from its new address, if a copy in another store is wanted.
async fn insert_copy_job(
    transaction: &DatabaseTransaction,
    record: &UploadRecord<'_>,
    address: &Address,
) -> Result<()> {
    let Some(copy) = record.copy_to.filter(|copy| copy.store != address.store) else {
        return Ok(());
    };
    let job = NewJob {
        sha1: record.content.sha1,
        size: record.content.size,
        from: address.store.clone(),
        to: copy.store.to_owned(),
        keeps_source: copy.keeps_source,
        transfer: None,
        due_at: record.at,
    };
    jobs::insert::upsert_in(transaction, &job, record.at).await
}

/// Adds the file to the owner's usage, if it is within the quota.
async fn add_usage(
    transaction: &DatabaseTransaction,
    record: &UploadRecord<'_>,
    session: Option<&upload::Model>,
) -> Result<()> {
    let size = record.stored_size()?;
    usage::add_usage(transaction, record.owner, size, 1).await?;
    let Some(default_quota) = &record.quota else {
        return Ok(());
    };
    let loaded = usage::load_quota(transaction, record.owner, default_quota, session, record.at);
    let (quota, mut usage) = loaded.await?;
    usage.bytes = usage.bytes.saturating_sub(record.content.size);
    usage.files = usage.files.saturating_sub(1);
    Ok(quota.admit_file(&usage, record.content.size)?)
}
