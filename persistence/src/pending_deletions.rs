//! The objects that are to go at a time, unless a content's row points at them by then.
//!
//! One is expected before its bytes are written, and forgotten in the transaction that makes a row
//! point at it; or it comes here in the transaction that makes a row point elsewhere. So there is
//! no moment at which neither a row nor this tells of it.
//!
//! Whoever removes one condemns it first, and from then on no row comes to point at it, however
//! late whoever wrote it is.

use domain::{Address, Sha1, Timestamp};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, ConnectionTrait, DatabaseTransaction, EntityTrait, ExprTrait,
    PaginatorTrait, QueryFilter, QueryOrder, QuerySelect, sea_query::Expr,
};

use crate::{
    database::Database,
    entities::leftover,
    error::{Error, Result},
    row::OrCorrupt as _,
    transaction::attempt,
};

/// The table whose rows this file reads and writes.
const TABLE: &str = "tbl_leftover";

/// When an object is due that was condemned.
const CLAIMED: i64 = 0;

/// An object that is to go at a time, unless a content's row points at it by then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingDeletion {
    /// Its row's number.
    pub id: i64,
    /// The content that it has, or was to have.
    pub sha1: Sha1,
    /// Where it is, if it is.
    pub address: Address,
    /// When it is to go.
    pub due_at: Timestamp,
}

/// The objects that are to go at a time.
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
    /// Says that an object is to go at a time, unless a content's row points at it by then.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn schedule(&self, sha1: &Sha1, address: &Address, due: Timestamp) -> Result<()> {
        let address = address.to_string();
        let schedule = || schedule_in(self.0.writing(), sha1, &address, due);
        attempt(schedule).await
    }

    /// Says that an object is not to go any more, or is gone.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn cancel(&self, sha1: &Sha1, address: &Address) -> Result<()> {
        let cancel = || {
            leftover::Entity::delete_many()
                .filter(leftover::Column::FileSha1.eq(sha1.to_string()))
                .filter(leftover::Column::FileAddr.eq(address.to_string()))
                .exec(self.0.writing())
        };
        attempt(cancel).await.map(drop)
    }

    /// Condemns an object that is still due when it was seen to be: nothing puts it off any more,
    /// and no row comes to point at it. Gives whether it was; a second time changes nothing.
    ///
    /// A row may point at it already, which [`Database::is_recorded`] tells.
    ///
    /// # Errors
    ///
    /// When the database fails.
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

    /// Puts off when an object is to go; gives whether it was still to go, and not condemned.
    ///
    /// # Errors
    ///
    /// When the database fails.
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

    /// Lists up to `limit` objects that are to go by now, the longest due first, from after one on.
    ///
    /// # Errors
    ///
    /// When the database fails, or a row cannot be read.
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
        let look = || {
            leftover::Entity::find()
                .filter(leftover::Column::DueAt.gte(since))
                .filter(leftover::Column::DueAt.lte(now.microseconds()))
                .filter(is_later.clone())
                .order_by_asc(leftover::Column::DueAt)
                .order_by_asc(leftover::Column::Id)
                .limit(limit)
                .all(self.0.newest())
        };
        let rows = attempt(look).await?;
        rows.into_iter().map(TryInto::try_into).collect()
    }

    /// Tells whether an object is to go, now or later, unless a content's row points at it.
    ///
    /// # Errors
    ///
    /// When the database fails.
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

    /// Tells whether an object is to go, now or later, whatever content it has.
    ///
    /// # Errors
    ///
    /// When the database fails.
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

    /// Lists the objects of some contents that are to go, now or later.
    ///
    /// # Errors
    ///
    /// When the database fails, or a row cannot be read.
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

    /// Counts the objects that are to go, now or later.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn count(&self) -> Result<u64> {
        let count = || leftover::Entity::find().count(self.0.reading());
        attempt(count).await
    }
}

/// Says that an object at an address, as a row has it, is to go at a time.
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

/// Keeps an object from being condemned until the transaction ends; gives the rows that tell of it,
/// or `None` if there is none, or it is condemned.
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

/// Removes the rows that tell of an object, since a content's row does from this transaction on.
///
/// By their ids: MySQL would look at, and wait for, those of the content's other objects as well.
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
