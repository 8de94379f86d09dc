//! Transfers of a store's contents to another store: their progress, and the process that plans
//! them.

mod row;

use domain::{RandomId, ScanProgress, Timestamp, Transfer, TransferState};
use sea_orm::{
    ColumnTrait, Condition, DatabaseTransaction, EntityTrait, ExprTrait, QueryFilter, QueryOrder,
    QuerySelect, UpdateMany, sea_query::Expr,
};

use self::row::{RUNNING, TABLE, stored_state, to_row};
use crate::{
    boxed,
    database::Database,
    entities::transfer,
    error::Result,
    jobs,
    row::{OrCorrupt as _, signed},
    transaction::attempt,
};

/// The repository of transfers.
#[derive(Clone, Copy)]
pub struct Transfers<'a>(&'a Database);

impl Database {
    /// The repository of transfers.
    #[must_use]
    pub fn transfers(&self) -> Transfers<'_> {
        Transfers(self)
    }
}

impl Transfers<'_> {
    /// Adds a transfer.
    ///
    /// # Errors
    ///
    /// When the database fails.
    #[boxed]
    pub async fn insert(&self, transfer: &Transfer) -> Result<()> {
        let row = to_row(transfer)?;
        let insert =
            || transfer::Entity::insert(row.clone()).exec_without_returning(self.0.writing());
        attempt(insert).await.map(drop)
    }

    /// Finds a transfer. Reads from the primary.
    ///
    /// # Errors
    ///
    /// When the database fails, or the row cannot be read.
    #[boxed]
    pub async fn find(&self, id: RandomId) -> Result<Option<Transfer>> {
        let find = || transfer::Entity::find_by_id(id.to_string()).one(self.0.newest());
        attempt(find).await?.map(Transfer::try_from).transpose()
    }

    /// Finds the oldest running transfer from one store to another. Reads from the primary.
    ///
    /// # Errors
    ///
    /// When the database fails, or the row cannot be read.
    #[boxed]
    pub async fn find_running(&self, from: &str, to: &str) -> Result<Option<Transfer>> {
        let find = || {
            transfer::Entity::find()
                .filter(transfer::Column::FromStore.eq(from))
                .filter(transfer::Column::ToStore.eq(to))
                .filter(transfer::Column::Status.eq(RUNNING))
                .order_by_asc(transfer::Column::CreateAt)
                .order_by_asc(transfer::Column::Id)
                .one(self.0.newest())
        };
        attempt(find).await?.map(Transfer::try_from).transpose()
    }

    /// Lists up to `limit` transfers, newest first.
    ///
    /// # Errors
    ///
    /// When the database fails, or a row cannot be read.
    #[boxed]
    pub async fn list(&self, limit: u64) -> Result<Vec<Transfer>> {
        let list = || {
            transfer::Entity::find()
                .order_by_desc(transfer::Column::CreateAt)
                .order_by_asc(transfer::Column::Id)
                .limit(limit)
                .all(self.0.newest())
        };
        let rows = attempt(list).await?;
        rows.into_iter().map(TryInto::try_into).collect()
    }

    /// Lists the running transfers, oldest first.
    ///
    /// # Errors
    ///
    /// When the database fails, or a row cannot be read.
    #[boxed]
    pub async fn list_running(&self) -> Result<Vec<Transfer>> {
        let list = || {
            transfer::Entity::find()
                .filter(transfer::Column::Status.eq(RUNNING))
                .order_by_asc(transfer::Column::CreateAt)
                .order_by_asc(transfer::Column::Id)
                .all(self.0.newest())
        };
        let rows = attempt(list).await?;
        rows.into_iter().map(TryInto::try_into).collect()
    }

    /// Claims the planning of a transfer until a given time, unless another process has it; returns
    /// the transfer, or `None` if it cannot be claimed.
    ///
    /// The planner extends its claim in the same way.
    ///
    /// # Errors
    ///
    /// When the database fails, or the row cannot be read.
    #[boxed]
    pub async fn plan(
        &self,
        id: RandomId,
        planner: &str,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Option<Transfer>> {
        let is_unclaimed = Condition::any()
            .add(transfer::Column::Planner.is_null())
            .add(transfer::Column::Planner.eq(planner))
            .add(transfer::Column::PlannedUntil.lte(now.microseconds()));
        let take = || {
            update_running(id)
                .col_expr(transfer::Column::Planner, Expr::val(planner))
                .col_expr(
                    transfer::Column::PlannedUntil,
                    Expr::val(until.microseconds()),
                )
                .filter(is_unclaimed.clone())
                .exec(self.0.writing())
        };
        if attempt(take).await?.rows_affected == 0 {
            return Ok(None);
        }
        let found = self.find(id).await?;
        // The claim may have expired already, and another process may have the planning.
        Ok(found.filter(|transfer| {
            transfer.state == TransferState::Running && transfer.planner.as_deref() == Some(planner)
        }))
    }

    /// Records the planning progress of a transfer if it is running and the planner is still the
    /// same; returns whether that is so.
    ///
    /// # Errors
    ///
    /// When the database fails.
    #[boxed]
    pub async fn advance(
        &self,
        id: RandomId,
        planner: &str,
        progress: &ScanProgress,
        now: Timestamp,
    ) -> Result<bool> {
        let pass = i32::try_from(progress.pass).or_corrupt(TABLE)?;
        let shard = i32::try_from(progress.shard).or_corrupt(TABLE)?;
        let found = signed(TABLE, progress.found)?;
        let paced_until = progress.paced_until.microseconds();
        let advance = || {
            update_running(id)
                .col_expr(transfer::Column::Pass, Expr::val(pass))
                .col_expr(transfer::Column::Found, Expr::val(found))
                .col_expr(transfer::Column::Shard, Expr::val(shard))
                .col_expr(transfer::Column::AfterId, Expr::val(progress.after_id))
                .col_expr(transfer::Column::PacedUntil, Expr::val(paced_until))
                .col_expr(transfer::Column::UpdateAt, Expr::val(now.microseconds()))
                .filter(transfer::Column::Planner.eq(planner))
                .exec(self.0.writing())
        };
        Ok(attempt(advance).await?.rows_affected == 1)
    }

    /// Ends a running transfer; returns whether it was running.
    ///
    /// # Errors
    ///
    /// When the database fails.
    #[boxed]
    pub async fn end(&self, id: RandomId, state: TransferState, now: Timestamp) -> Result<bool> {
        let end = || {
            update_running(id)
                .col_expr(transfer::Column::Status, Expr::val(stored_state(state)))
                .col_expr(transfer::Column::UpdateAt, Expr::val(now.microseconds()))
                .col_expr(transfer::Column::EndAt, Expr::val(now.microseconds()))
                .exec(self.0.writing())
        };
        Ok(attempt(end).await?.rows_affected == 1)
    }

    /// Sets the number and the size of the contents to copy.
    ///
    /// # Errors
    ///
    /// When the database fails.
    #[boxed]
    pub async fn set_total(&self, id: RandomId, files: u64, bytes: u64) -> Result<()> {
        let (files, bytes) = (signed(TABLE, files)?, signed(TABLE, bytes)?);
        let set = || {
            update_running(id)
                .col_expr(transfer::Column::TotalFiles, Expr::val(files))
                .col_expr(transfer::Column::TotalBytes, Expr::val(bytes))
                .exec(self.0.writing())
        };
        attempt(set).await.map(drop)
    }

    /// Sets the largest number of bytes to copy in a second, if the transfer is running; returns
    /// whether it is.
    ///
    /// # Errors
    ///
    /// When the database fails.
    #[boxed]
    pub async fn set_rate(&self, id: RandomId, rate: Option<u64>, now: Timestamp) -> Result<bool> {
        let rate = rate.map(|number| signed(TABLE, number)).transpose()?;
        self.0
            .transact(|transaction| async move { set_rate(&transaction, id, rate, now).await })
            .await
    }
}

async fn set_rate(
    transaction: &DatabaseTransaction,
    id: RandomId,
    rate: Option<i64>,
    now: Timestamp,
) -> Result<bool> {
    let set = update_running(id)
        .col_expr(transfer::Column::Rate, Expr::val(rate))
        .col_expr(transfer::Column::PacedUntil, Expr::val(now.microseconds()))
        .exec(transaction)
        .await?;
    if set.rows_affected == 0 {
        return Ok(false);
    }
    // The due times of the waiting jobs were calculated from the previous rate.
    jobs::release(transaction, id, now).await?;
    Ok(true)
}

/// Adds a copied content to the counts of a transfer, even after its end.
///
/// The last step of a transaction, because it locks a row that others wait for.
pub(crate) async fn add_copied(
    transaction: &DatabaseTransaction,
    id: RandomId,
    bytes: u64,
) -> Result<()> {
    let bytes = signed(TABLE, bytes)?;
    let plus = |column: transfer::Column, more: i64| Expr::col(column).add(more);
    transfer::Entity::update_many()
        .col_expr(
            transfer::Column::CopiedFiles,
            plus(transfer::Column::CopiedFiles, 1),
        )
        .col_expr(
            transfer::Column::CopiedBytes,
            plus(transfer::Column::CopiedBytes, bytes),
        )
        .filter(transfer::Column::Id.eq(id.to_string()))
        .exec(transaction)
        .await?;
    Ok(())
}

fn update_running(id: RandomId) -> UpdateMany<transfer::Entity> {
    transfer::Entity::update_many()
        .filter(transfer::Column::Id.eq(id.to_string()))
        .filter(transfer::Column::Status.eq(RUNNING))
}
