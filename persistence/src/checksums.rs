//! The checksums of the blocks of contents, and the state of contents whose bytes do not match them.

use domain::{Address, BlockChecksums, NewJob, Sha1, StoredContent, Timestamp, block};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, ConnectionTrait, DatabaseTransaction, EntityTrait, ExprTrait,
    QueryFilter, sea_query::Expr,
};

use crate::{
    boxed, contents,
    database::Database,
    entities::{AVAILABLE, DAMAGED, checksum, file},
    error::Result,
    jobs, pending_deletions,
    row::OrCorrupt as _,
    shard::Shard,
    transaction::attempt,
};

/// The table whose rows this file reads and writes.
const TABLE: &str = "tbl_checksum";

/// The number of groups that are inserted by a statement.
const BATCH: usize = 64;

/// A damaged copy that no longer counts, since another one is whole.
#[derive(Debug, Clone)]
pub struct CopyDrop<'a> {
    /// The content, as it was when its copies were read.
    pub content: &'a StoredContent,
    /// The address of the whole copy.
    pub whole: &'a Address,
    /// The address of the damaged copy.
    pub damaged: &'a Address,
    /// The time at which to delete the damaged copy.
    pub deletion_due: Timestamp,
    /// The current time.
    pub now: Timestamp,
}

/// The repository of checksums.
#[derive(Clone, Copy)]
pub struct Checksums<'a>(&'a Database);

impl Database {
    /// The repository of checksums.
    #[must_use]
    pub fn checksums(&self) -> Checksums<'_> {
        Checksums(self)
    }
}

impl Checksums<'_> {
    /// Finds a group of a content's checksums; `None` if there is none.
    ///
    /// # Errors
    ///
    /// When the database fails, or the row cannot be read.
    #[boxed]
    pub async fn find_group(&self, sha1: &Sha1, number: u64) -> Result<Option<Vec<u32>>> {
        let number = i32::try_from(number).or_corrupt(TABLE)?;
        let find =
            || checksum::Entity::find_by_id((sha1.to_string(), number)).one(self.0.reading());
        let row = attempt(find).await?;
        row.map(|row| {
            block::group_of_bytes(&row.checksums)
                .ok_or(TABLE)
                .or_corrupt(TABLE)
        })
        .transpose()
    }

    /// Adds the checksums of a content that was stored without them.
    ///
    /// # Errors
    ///
    /// When the database fails.
    #[boxed]
    pub async fn add(&self, sha1: &Sha1, checksums: &BlockChecksums) -> Result<()> {
        self.0
            .transact(|transaction| async move { add(&transaction, sha1, checksums).await })
            .await
    }

    /// Marks an available content as damaged if its row still has the addresses that were seen;
    /// returns whether it is marked. The next upload of the content replaces its bytes.
    ///
    /// # Errors
    ///
    /// When the database fails.
    #[boxed]
    pub async fn mark_damaged(&self, seen: &StoredContent, now: Timestamp) -> Result<bool> {
        self.set_status(seen, AVAILABLE, DAMAGED, now).await
    }

    /// Drops a damaged copy if the content's row is unchanged, and adds the job that makes it again;
    /// returns whether it did.
    ///
    /// # Errors
    ///
    /// When the database fails.
    #[boxed]
    pub async fn drop_copy(&self, drop: &CopyDrop<'_>) -> Result<bool> {
        self.0
            .transact(|transaction| async move { drop_copy(&transaction, drop).await })
            .await
    }

    /// Makes a damaged content available again, since its bytes were found to be whole; returns
    /// whether it is.
    ///
    /// # Errors
    ///
    /// When the database fails.
    #[boxed]
    pub async fn mark_whole(&self, seen: &StoredContent, now: Timestamp) -> Result<bool> {
        self.set_status(seen, DAMAGED, AVAILABLE, now).await
    }

    async fn set_status(
        &self,
        seen: &StoredContent,
        from: i32,
        to: i32,
        now: Timestamp,
    ) -> Result<bool> {
        let second = seen.second.as_ref().map(ToString::to_string);
        let has_second = match &second {
            Some(second) => Expr::col(file::Column::Ext2).eq(second),
            None => Expr::col(file::Column::Ext2).is_null(),
        };
        let update = Shard::of(&seen.content.sha1)
            .update()
            .value(file::Column::Status, to)
            .value(file::Column::UpdateAt, now.microseconds())
            .and_where(Expr::col(file::Column::FileSha1).eq(seen.content.sha1.to_string()))
            .and_where(Expr::col(file::Column::Status).eq(from))
            .and_where(Expr::col(file::Column::FileAddr).eq(seen.address.to_string()))
            .and_where(has_second)
            .take();
        let update = || self.0.writing().execute(&update);
        Ok(attempt(update).await?.rows_affected() == 1)
    }

    /// Lists up to `limit` damaged contents of a shard, from the first row after `after`.
    ///
    /// Each comes with the number of its row, which is `after` for the next page.
    ///
    /// # Errors
    ///
    /// When the database fails, or a row cannot be read.
    #[boxed]
    pub async fn list_damaged(
        &self,
        shard: Shard,
        after: i64,
        limit: u64,
    ) -> Result<Vec<(i64, StoredContent)>> {
        contents::list(self.0.newest(), DAMAGED, shard, after, limit).await
    }

    /// Returns whether a content is damaged.
    ///
    /// # Errors
    ///
    /// When the database fails.
    #[boxed]
    pub async fn is_damaged(&self, sha1: &Sha1) -> Result<bool> {
        let find = || {
            Shard::of(sha1)
                .select()
                .filter(file::Column::FileSha1.eq(sha1.to_string()))
                .filter(file::Column::Status.eq(DAMAGED))
                .one(self.0.newest())
        };
        Ok(attempt(find).await?.is_some())
    }
}

async fn drop_copy(transaction: &DatabaseTransaction, drop: &CopyDrop<'_>) -> Result<bool> {
    let content = &drop.content.content;
    let locked = contents::lock(transaction, &content.sha1).await?;
    let Some(row) = locked.filter(|row| row.status == AVAILABLE) else {
        return Ok(false);
    };
    let found = StoredContent::try_from(row)?;
    if !found.copies().eq(drop.content.copies()) {
        return Ok(false);
    }
    let update = Shard::of(&content.sha1)
        .update()
        .value(file::Column::FileAddr, drop.whole.to_string())
        .value(file::Column::Ext2, None::<String>)
        .value(file::Column::UpdateAt, drop.now.microseconds())
        .and_where(Expr::col(file::Column::FileSha1).eq(content.sha1.to_string()))
        .take();
    transaction.execute(&update).await?;
    let job = NewJob {
        sha1: content.sha1,
        size: content.size,
        from: drop.whole.store.clone(),
        to: drop.damaged.store.clone(),
        keeps_source: true,
        transfer: None,
        due_at: drop.now,
    };
    jobs::insert::upsert_in(transaction, &job, drop.now).await?;
    let damaged = drop.damaged.to_string();
    pending_deletions::schedule_in(transaction, &content.sha1, &damaged, drop.deletion_due).await?;
    Ok(true)
}

async fn add(
    transaction: &DatabaseTransaction,
    sha1: &Sha1,
    checksums: &BlockChecksums,
) -> Result<()> {
    if contents::lock(transaction, sha1).await?.is_none() {
        return Ok(());
    }
    let update = Shard::of(sha1)
        .update()
        .value(file::Column::Ext1, summary(checksums))
        .and_where(Expr::col(file::Column::FileSha1).eq(sha1.to_string()))
        .take();
    transaction.execute(&update).await?;
    insert_groups(transaction, sha1, checksums).await
}

/// Inserts the groups of a content, whose row is locked.
pub(crate) async fn insert_groups(
    transaction: &DatabaseTransaction,
    sha1: &Sha1,
    checksums: &BlockChecksums,
) -> Result<()> {
    let mut rows = Vec::new();
    for (number, group) in (0..).zip(checksums.groups()) {
        rows.push(checksum::ActiveModel {
            file_sha1: Set(sha1.to_string()),
            number: Set(number),
            checksums: Set(block::group_to_bytes(group)),
        });
    }
    for batch in rows.chunks(BATCH) {
        checksum::Entity::insert_many(batch.to_vec())
            .on_conflict_do_nothing_on([checksum::Column::FileSha1, checksum::Column::Number])
            .exec_without_returning(transaction)
            .await?;
    }
    Ok(())
}

/// Removes the checksums of a content.
pub(crate) async fn remove_in(transaction: &DatabaseTransaction, sha1: &Sha1) -> Result<()> {
    checksum::Entity::delete_many()
        .filter(checksum::Column::FileSha1.eq(sha1.to_string()))
        .exec(transaction)
        .await?;
    Ok(())
}

/// The summary as the column `ext1` holds it.
pub(crate) fn summary(checksums: &BlockChecksums) -> i32 {
    checksums.summary().cast_signed()
}
