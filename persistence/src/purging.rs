//! Giving up what was deleted long ago, and the contents that nobody has any more.
//!
//! In this order: an entry is given up; when no entry refers to its content any more, the
//! content's row is, under the lock that everybody takes who records the content; then its bytes
//! go; then the rows. Entries that were given up stay until then, and are what is found and gone
//! on with after a crash.

use domain::{Address, Owner, Sha1, StoredContent, Timestamp};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DatabaseTransaction, EntityTrait, ExprTrait, QueryFilter,
    QueryOrder, QuerySelect, sea_query::Expr,
};

use crate::{
    contents,
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

/// The contents that nobody has any more.
#[derive(Clone, Copy)]
pub struct Purging<'a>(&'a Database);

impl Database {
    /// The operations that purge contents.
    #[must_use]
    pub fn purging(&self) -> Purging<'_> {
        Purging(self)
    }
}

impl Purging<'_> {
    /// Gives up to `limit` entries up that were deleted before a time; gives how many.
    ///
    /// # Errors
    ///
    /// When the database fails.
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

    /// Lists up to `limit` entries that were given up before a time, the longest ago first, from
    /// after a row on that [`Purging::list`] gave.
    ///
    /// # Errors
    ///
    /// When the database fails, or a row cannot be read.
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
        let look = || {
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
        let rows = attempt(look).await?;
        rows.into_iter()
            .map(|(at, id, sha1)| {
                let sha1 = sha1.parse().or_corrupt(TABLE)?;
                Ok((Timestamp::from_microseconds(at), id, sha1))
            })
            .collect()
    }

    /// Withdraws a content if no entry refers to it, and all that did were given up before a time,
    /// and its row still has the addresses that were seen; gives whether it is withdrawn.
    ///
    /// Whoever records the content at that moment is either seen here, or finds it withdrawn and
    /// brings bytes of their own.
    ///
    /// # Errors
    ///
    /// When the database fails, or the row cannot be read.
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

    /// Removes what is left of a content: its row, if it is withdrawn with its bytes at an address
    /// where they are no more; and those of these entries that were given up before a time.
    ///
    /// # Errors
    ///
    /// When the database fails.
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
        // Its owner was faster.
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
    let lock = contents::lock(transaction, &sha1).await?;
    let Some(row) = lock.filter(is_as_seen) else {
        return Ok(false);
    };
    let is_wanted = Expr::col(user_file::Column::Status)
        .ne(PURGING)
        .or(Expr::col(user_file::Column::UpdateAt).gte(before.microseconds()));
    let wanted = user_file::Entity::find()
        .select_only()
        .column(user_file::Column::Id)
        .filter(user_file::Column::FileSha1.eq(sha1.to_string()))
        .filter(is_wanted)
        .into_tuple::<i64>()
        .one(transaction)
        .await?;
    if wanted.is_some() {
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
        transaction.execute(&delete).await?;
    }
    user_file::Entity::delete_many()
        .filter(user_file::Column::Id.is_in(entries.iter().copied()))
        .filter(user_file::Column::Status.eq(PURGING))
        .filter(user_file::Column::UpdateAt.lt(before.microseconds()))
        .exec(transaction)
        .await?;
    Ok(())
}
