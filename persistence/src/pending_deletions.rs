//! Pending deletions: objects to delete at a given time, unless a content's row refers to them by
//! then.
//!
//! A deletion is scheduled before the object's bytes are written, and cancelled in the transaction
//! that makes a row refer to the object; or it is scheduled in the transaction that makes a row
//! refer to another object. So at every moment, either a content's row or a pending deletion refers
//! to the object.
//!
//! A process claims a deletion before it deletes the object. From then on no row comes to refer to
//! the object, however late its writer is.

use domain::{Address, Sha1, Timestamp};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, ConnectionTrait, DatabaseTransaction, EntityTrait, ExprTrait,
    PaginatorTrait, QueryFilter, QueryOrder, QuerySelect, sea_query::Expr,
};

use crate::{
    boxed,
    database::Database,
    entities::leftover,
    error::{Error, Result},
    row::OrCorrupt as _,
    transaction::attempt,
};

/// The table whose rows this file reads and writes.
const TABLE: &str = "tbl_leftover";

/// The due time of a claimed deletion.
const CLAIMED: i64 = 0;

/// An object to delete at a given time, unless a content's row refers to it by then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingDeletion {
    /// The number of the row.
    pub id: i64,
    /// The SHA-1 of the object's content, present or planned.
    pub sha1: Sha1,
    /// The address of the object, which may not exist.
    pub address: Address,
    /// The time of the deletion.
    pub due_at: Timestamp,
}

/// The repository of pending deletions.
#[derive(Clone, Copy)]
pub struct PendingDeletions<'a>(&'a Database);

impl Database {
    /// The repository of pending deletions.
    #[must_use]
    pub fn pending_deletions(&self) -> PendingDeletions<'_> {
        PendingDeletions(self)
    }
}

impl PendingDeletions<'_> {
    /// Schedules the deletion of an object at a given time.
    ///
    /// # Errors
    ///
    /// When the database fails.
    #[boxed]
    pub async fn schedule(&self, sha1: &Sha1, address: &Address, due: Timestamp) -> Result<()> {
        let address = address.to_string();
        let schedule = || schedule_in(self.0.writing(), sha1, &address, due);
        attempt(schedule).await
    }

    /// Cancels the deletion of an object, or removes the row after the deletion.
    ///
    /// # Errors
    ///
    /// When the database fails.
    #[boxed]
    pub async fn cancel(&self, sha1: &Sha1, address: &Address) -> Result<()> {
        let cancel = || {
            leftover::Entity::delete_many()
                .filter(leftover::Column::FileSha1.eq(sha1.to_string()))
                .filter(leftover::Column::FileAddr.eq(address.to_string()))
                .exec(self.0.writing())
        };
        attempt(cancel).await.map(drop)
    }

    /// Claims a deletion whose due time is still the one that was seen; returns whether it was. The
    /// deletion can then no longer be postponed, and no row comes to refer to the object. Claiming
    /// it a second time changes nothing.
    ///
    /// A row may refer to the object already; [`Database::is_recorded`] reports that.
    ///
    /// # Errors
    ///
    /// When the database fails.
    #[boxed]
    pub async fn claim(&self, seen: &PendingDeletion) -> Result<bool> {
        let claim = || {
            leftover::Entity::update_many()
                .col_expr(leftover::Column::DueAt, Expr::val(CLAIMED))
                .filter(leftover::Column::Id.eq(seen.id))
                .filter(leftover::Column::DueAt.eq(seen.due_at.microseconds()))
                .exec(self.0.writing())
        };
        Ok(attempt(claim).await?.rows_affected == 1)
    }

    /// Postpones a deletion; returns whether it was still pending and unclaimed.
    ///
    /// # Errors
    ///
    /// When the database fails.
    #[boxed]
    pub async fn postpone(&self, sha1: &Sha1, address: &Address, due: Timestamp) -> Result<bool> {
        let postpone = || {
            leftover::Entity::update_many()
                .col_expr(leftover::Column::DueAt, Expr::val(due.microseconds()))
                .filter(leftover::Column::FileSha1.eq(sha1.to_string()))
                .filter(leftover::Column::FileAddr.eq(address.to_string()))
                .filter(leftover::Column::DueAt.ne(CLAIMED))
                .exec(self.0.writing())
        };
        Ok(attempt(postpone).await?.rows_affected > 0)
    }

    /// Lists up to `limit` deletions that are due, the longest due first, from the first one after
    /// `after`.
    ///
    /// # Errors
    ///
    /// When the database fails, or a row cannot be read.
    #[boxed]
    pub async fn list_due(
        &self,
        now: Timestamp,
        after: Option<(Timestamp, i64)>,
        limit: u64,
    ) -> Result<Vec<PendingDeletion>> {
        let (since, last) = after.unwrap_or((Timestamp::EPOCH, 0));
        let since = since.microseconds();
        let is_later = Expr::col(leftover::Column::DueAt)
            .gt(since)
            .or(Expr::col(leftover::Column::Id).gt(last));
        let query = || {
            leftover::Entity::find()
                .filter(leftover::Column::DueAt.gte(since))
                .filter(leftover::Column::DueAt.lte(now.microseconds()))
                .filter(is_later.clone())
                .order_by_asc(leftover::Column::DueAt)
                .order_by_asc(leftover::Column::Id)
                .limit(limit)
                .all(self.0.newest())
        };
        let rows = attempt(query).await?;
        rows.into_iter().map(TryInto::try_into).collect()
    }

    /// Reports whether the deletion of an object is pending, due or not.
    ///
    /// # Errors
    ///
    /// When the database fails.
    #[boxed]
    pub async fn is_scheduled(&self, sha1: &Sha1, address: &Address) -> Result<bool> {
        let find = || {
            leftover::Entity::find()
                .select_only()
                .column(leftover::Column::Id)
                .filter(leftover::Column::FileSha1.eq(sha1.to_string()))
                .filter(leftover::Column::FileAddr.eq(address.to_string()))
                .into_tuple::<i64>()
                .one(self.0.newest())
        };
        Ok(attempt(find).await?.is_some())
    }

    /// Reports whether the deletion of an object with any content is pending, due or not.
    ///
    /// # Errors
    ///
    /// When the database fails.
    #[boxed]
    pub async fn is_scheduled_at(&self, address: &Address) -> Result<bool> {
        let find = || {
            leftover::Entity::find()
                .select_only()
                .column(leftover::Column::Id)
                .filter(leftover::Column::FileAddr.eq(address.to_string()))
                .into_tuple::<i64>()
                .one(self.0.newest())
        };
        Ok(attempt(find).await?.is_some())
    }

    /// Lists the pending deletions of the given contents' objects, due or not.
    ///
    /// # Errors
    ///
    /// When the database fails, or a row cannot be read.
    #[boxed]
    pub async fn list_of(&self, sha1s: &[Sha1]) -> Result<Vec<PendingDeletion>> {
        let list = || {
            leftover::Entity::find()
                .filter(leftover::Column::FileSha1.is_in(sha1s.iter().map(Sha1::to_string)))
                .order_by_asc(leftover::Column::Id)
                .all(self.0.newest())
        };
        let rows = attempt(list).await?;
        rows.into_iter().map(TryInto::try_into).collect()
    }

    /// Counts the pending deletions, due or not.
    ///
    /// # Errors
    ///
    /// When the database fails.
    #[boxed]
    pub async fn count(&self) -> Result<u64> {
        let count = || leftover::Entity::find().count(self.0.reading());
        attempt(count).await
    }
}

/// Schedules the deletion of an object, given its address as a row holds it.
pub(crate) async fn schedule_in(
    connection: &impl ConnectionTrait,
    sha1: &Sha1,
    address: &str,
    due: Timestamp,
) -> Result<()> {
    let row = leftover::ActiveModel {
        file_sha1: Set(sha1.to_string()),
        file_addr: Set(address.to_owned()),
        due_at: Set(Ord::max(due.microseconds(), CLAIMED + 1)),
        ..Default::default()
    };
    leftover::Entity::insert(row)
        .exec_without_returning(connection)
        .await?;
    Ok(())
}

/// Locks the deletions of an object until the transaction ends, so that no process can claim them;
/// returns the numbers of their rows, or `None` if none is pending or one is claimed.
pub(crate) async fn lock(
    transaction: &DatabaseTransaction,
    sha1: &Sha1,
    address: &Address,
) -> Result<Option<Vec<i64>>> {
    let rows = leftover::Entity::find()
        .filter(leftover::Column::FileSha1.eq(sha1.to_string()))
        .filter(leftover::Column::FileAddr.eq(address.to_string()))
        .lock_exclusive()
        .all(transaction)
        .await?;
    let is_claimed = rows.iter().any(|row| row.due_at == CLAIMED);
    let ids: Vec<i64> = rows.iter().map(|row| row.id).collect();
    Ok(Some(ids).filter(|ids| !ids.is_empty() && !is_claimed))
}

/// Removes the deletions of an object to which this transaction makes a content's row refer.
///
/// Selects them by their numbers: with another condition MySQL would also read, and wait for, the
/// rows of the content's other objects.
pub(crate) async fn remove_in(transaction: &DatabaseTransaction, ids: &[i64]) -> Result<()> {
    if ids.is_empty() {
        return Ok(());
    }
    leftover::Entity::delete_many()
        .filter(leftover::Column::Id.is_in(ids.iter().copied()))
        .exec(transaction)
        .await?;
    Ok(())
}

impl TryFrom<leftover::Model> for PendingDeletion {
    type Error = Error;

    fn try_from(row: leftover::Model) -> Result<Self> {
        Ok(Self {
            id: row.id,
            sha1: row.file_sha1.parse().or_corrupt(TABLE)?,
            address: row.file_addr.parse().or_corrupt(TABLE)?,
            due_at: Timestamp::from_microseconds(row.due_at),
        })
    }
}
