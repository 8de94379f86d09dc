//! Purging: the removal of entries that were deleted long ago, and of contents without entries.
//!
//! The steps are, in this order: mark a deleted entry for the purge; when no other entry refers to
//! its content, withdraw the content's row, under the lock that recording an upload also takes;
//! delete the bytes; remove the rows. A marked entry stays until the last step, so that the purge
//! continues from it after a crash.

use domain::{Address, Owner, Sha1, StoredContent, Timestamp};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DatabaseTransaction, EntityTrait, ExprTrait, QueryFilter,
    QueryOrder, QuerySelect, sea_query::Expr,
};

use crate::{
    boxed, checksums, contents,
    database::Database,
    entities::{DELETED, PURGING, file, user_file},
    error::Result,
    links,
    row::OrCorrupt as _,
    shard::Shard,
    transaction::attempt,
    usage,
};

/// The table whose rows this file reads and writes.
const TABLE: &str = "tbl_user_file";

/// The operations that purge entries and contents.
#[derive(Clone, Copy)]
pub struct Purging<'a>(&'a Database);

impl Database {
    /// The operations that purge entries and contents.
    #[must_use]
    pub fn purging(&self) -> Purging<'_> {
        Purging(self)
    }
}

impl Purging<'_> {
    /// Marks up to `limit` entries for the purge that were deleted before a given time; returns
    /// their number.
    ///
    /// # Errors
    ///
    /// When the database fails.
    #[boxed]
    pub async fn expire_deleted(
        &self,
        before: Timestamp,
        now: Timestamp,
        limit: u64,
    ) -> Result<usize> {
        let list = || {
            user_file::Entity::find()
                .filter(user_file::Column::Status.eq(DELETED))
                .filter(user_file::Column::UpdateAt.lt(before.microseconds()))
                .order_by_asc(user_file::Column::UpdateAt)
                .limit(limit)
                .all(self.0.newest())
        };
        let deleted = attempt(list).await?;
        for row in &deleted {
            let expired = self
                .0
                .transact(|transaction| async move { expire(&transaction, row, now).await });
            expired.await?;
        }
        Ok(deleted.len())
    }

    /// Lists up to `limit` entries that were marked for the purge before a given time, the longest
    /// marked first, from the first one after a row of the previous page.
    ///
    /// # Errors
    ///
    /// When the database fails, or a row cannot be read.
    #[boxed]
    pub async fn list(
        &self,
        before: Timestamp,
        after: Option<(Timestamp, i64)>,
        limit: u64,
    ) -> Result<Vec<(Timestamp, i64, Sha1)>> {
        let (since, last) = after.unwrap_or((Timestamp::EPOCH, 0));
        let since = since.microseconds();
        let is_later = Expr::col(user_file::Column::UpdateAt)
            .gt(since)
            .or(Expr::col(user_file::Column::Id).gt(last));
        let query = || {
            user_file::Entity::find()
                .select_only()
                .columns([
                    user_file::Column::UpdateAt,
                    user_file::Column::Id,
                    user_file::Column::FileSha1,
                ])
                .filter(user_file::Column::Status.eq(PURGING))
                .filter(user_file::Column::UpdateAt.gte(since))
                .filter(user_file::Column::UpdateAt.lt(before.microseconds()))
                .filter(is_later.clone())
                .order_by_asc(user_file::Column::UpdateAt)
                .order_by_asc(user_file::Column::Id)
                .limit(limit)
                .into_tuple::<(i64, i64, String)>()
                .all(self.0.newest())
        };
        let rows = attempt(query).await?;
        rows.into_iter()
            .map(|(at, id, sha1)| {
                let sha1 = sha1.parse().or_corrupt(TABLE)?;
                Ok((Timestamp::from_microseconds(at), id, sha1))
            })
            .collect()
    }

    /// Withdraws a content if all of its entries were marked for the purge before a given time, and
    /// its row still has the addresses that were seen; returns whether it is withdrawn.
    ///
    /// A concurrent upload of the content either prevents this, or finds the content withdrawn and
    /// stores its own bytes.
    ///
    /// # Errors
    ///
    /// When the database fails, or the row cannot be read.
    #[boxed]
    pub async fn withdraw(
        &self,
        seen: &StoredContent,
        before: Timestamp,
        now: Timestamp,
    ) -> Result<bool> {
        self.0
            .transact(|transaction| async move { withdraw(&transaction, seen, before, now).await })
            .await
    }

    /// Removes the rest of a content: its row, if the content is withdrawn and the row has the
    /// address at which the bytes were deleted; and the given entries that were marked for the
    /// purge before a given time.
    ///
    /// # Errors
    ///
    /// When the database fails.
    #[boxed]
    pub async fn remove(
        &self,
        sha1: &Sha1,
        withdrawn: Option<&Address>,
        entries: &[i64],
        before: Timestamp,
    ) -> Result<()> {
        self.0
            .transact(|transaction| async move {
                remove(&transaction, sha1, withdrawn, entries, before).await
            })
            .await
    }
}

async fn expire(
    transaction: &DatabaseTransaction,
    row: &user_file::Model,
    now: Timestamp,
) -> Result<()> {
    let done = user_file::Entity::update_many()
        .col_expr(user_file::Column::Status, Expr::val(PURGING))
        .col_expr(user_file::Column::UpdateAt, Expr::val(now.microseconds()))
        .col_expr(user_file::Column::Version, Expr::val(row.version + 1))
        .filter(user_file::Column::Id.eq(row.id))
        .filter(user_file::Column::Status.eq(DELETED))
        .filter(user_file::Column::Version.eq(row.version))
        .exec(transaction)
        .await?;
    if done.rows_affected == 0 {
        // The owner changed the entry first.
        return Ok(());
    }
    let owner: Owner = row.owner.parse().or_corrupt(TABLE)?;
    links::remove_all(
        transaction,
        &owner,
        &row.file_sha1.parse().or_corrupt(TABLE)?,
    )
    .await?;
    usage::add_usage(transaction, &owner, -row.file_size, -1).await
}

async fn withdraw(
    transaction: &DatabaseTransaction,
    seen: &StoredContent,
    before: Timestamp,
    now: Timestamp,
) -> Result<bool> {
    let sha1 = seen.content.sha1;
    let second = seen.second.as_ref().map(Address::to_string);
    let is_as_seen =
        |row: &file::Model| row.file_addr == seen.address.to_string() && row.ext2 == second;
    let locked = contents::lock(transaction, &sha1).await?;
    let Some(row) = locked.filter(is_as_seen) else {
        return Ok(false);
    };
    let is_referenced = Expr::col(user_file::Column::Status)
        .ne(PURGING)
        .or(Expr::col(user_file::Column::UpdateAt).gte(before.microseconds()));
    let referenced = user_file::Entity::find()
        .select_only()
        .column(user_file::Column::Id)
        .filter(user_file::Column::FileSha1.eq(sha1.to_string()))
        .filter(is_referenced)
        .into_tuple::<i64>()
        .one(transaction)
        .await?;
    if referenced.is_some() {
        return Ok(false);
    }
    if row.status != PURGING {
        let update = Shard::of(&sha1)
            .update()
            .value(file::Column::Status, PURGING)
            .value(file::Column::UpdateAt, now.microseconds())
            .and_where(Expr::col(file::Column::FileSha1).eq(sha1.to_string()))
            .and_where(Expr::col(file::Column::Status).eq(row.status))
            .take();
        transaction.execute(&update).await?;
    }
    Ok(true)
}

async fn remove(
    transaction: &DatabaseTransaction,
    sha1: &Sha1,
    withdrawn: Option<&Address>,
    entries: &[i64],
    before: Timestamp,
) -> Result<()> {
    if let Some(address) = withdrawn {
        let delete = Shard::of(sha1)
            .delete()
            .and_where(Expr::col(file::Column::FileSha1).eq(sha1.to_string()))
            .and_where(Expr::col(file::Column::Status).eq(PURGING))
            .and_where(Expr::col(file::Column::FileAddr).eq(address.to_string()))
            .take();
        if transaction.execute(&delete).await?.rows_affected() > 0 {
            checksums::remove_in(transaction, sha1).await?;
        }
    }
    user_file::Entity::delete_many()
        .filter(user_file::Column::Id.is_in(entries.iter().copied()))
        .filter(user_file::Column::Status.eq(PURGING))
        .filter(user_file::Column::UpdateAt.lt(before.microseconds()))
        .exec(transaction)
        .await?;
    Ok(())
}
