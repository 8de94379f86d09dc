//! Jobs: copies to make from one store to another.
//!
//! The transaction that makes a copy necessary creates the job; the transaction that makes the copy
//! count removes it. In between, a worker claims the job for a limited time, during which no other
//! worker has it.

mod counts;
mod dead;
pub(crate) mod insert;
mod row;

use domain::{Job, JobId, RandomId, Timestamp};
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, DatabaseTransaction, EntityTrait, ExprTrait,
    QueryFilter, QueryOrder, QuerySelect, UpdateMany, sea_query::Expr,
};

use self::row::{DEAD, TABLE, WAITING};
use crate::{
    boxed, database::Database, entities::job, error::Result, row::OrCorrupt as _,
    transaction::attempt,
};

/// The maximum length of a stored error text, in characters.
const MAX_ERROR_CHARS: usize = 1000;

/// The repository of jobs.
#[derive(Clone, Copy)]
pub struct Jobs<'a>(&'a Database);

impl Database {
    /// The repository of jobs.
    #[must_use]
    pub fn jobs(&self) -> Jobs<'_> {
        Jobs(self)
    }
}

impl Jobs<'_> {
    /// Finds a job. Reads from the primary.
    ///
    /// # Errors
    ///
    /// When the database fails, or the row cannot be read.
    #[boxed]
    pub async fn find(&self, id: JobId) -> Result<Option<Job>> {
        let find = || job::Entity::find_by_id(id).one(self.0.newest());
        attempt(find).await?.map(Job::try_from).transpose()
    }

    /// Lists up to `limit` jobs that are due, the longest due first: unclaimed jobs, and jobs whose
    /// claim has expired.
    ///
    /// # Errors
    ///
    /// When the database fails, or a row cannot be read.
    #[boxed]
    pub async fn list_due(&self, now: Timestamp, limit: u64) -> Result<Vec<Job>> {
        let list = || {
            job::Entity::find()
                .filter(job::Column::Status.eq(WAITING))
                .filter(job::Column::DueAt.lte(now.microseconds()))
                .order_by_asc(job::Column::DueAt)
                .order_by_asc(job::Column::Id)
                .limit(limit)
                .all(self.0.newest())
        };
        let rows = attempt(list).await?;
        rows.into_iter().map(TryInto::try_into).collect()
    }

    /// Hides a job from [`Jobs::list_due`] until a given time, because it was published; removes an
    /// expired claim. Does so only if the due time is still `seen_due`; returns whether it was.
    ///
    /// # Errors
    ///
    /// When the database fails.
    #[boxed]
    pub async fn defer(&self, id: JobId, seen_due: Timestamp, until: Timestamp) -> Result<bool> {
        let defer = || {
            update_waiting(id)
                .col_expr(job::Column::DueAt, Expr::val(until.microseconds()))
                .col_expr(job::Column::Holder, Expr::val(None::<String>))
                .filter(job::Column::DueAt.eq(seen_due.microseconds()))
                .exec(self.0.writing())
        };
        Ok(attempt(defer).await?.rows_affected == 1)
    }

    /// Claims a job until a given time, unless another worker has a claim on it; returns the job,
    /// or `None` if it cannot be claimed.
    ///
    /// An unclaimed job can be claimed before it is due.
    ///
    /// # Errors
    ///
    /// When the database fails, or the row cannot be read.
    #[boxed]
    pub async fn claim(
        &self,
        id: JobId,
        worker: &str,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Option<Job>> {
        let claim = || {
            update_waiting(id)
                .col_expr(job::Column::Holder, Expr::val(worker))
                .col_expr(job::Column::DueAt, Expr::val(until.microseconds()))
                .filter(is_unclaimed(now).add(job::Column::Holder.eq(worker)))
                .exec(self.0.writing())
        };
        if attempt(claim).await?.rows_affected == 0 {
            return Ok(None);
        }
        let find = || job::Entity::find_by_id(id).one(self.0.newest());
        let row = attempt(find).await?;
        // The claim may have expired already, and another worker may have claimed the job.
        let own = row.filter(|row| row.status == WAITING && row.holder.as_deref() == Some(worker));
        own.map(Job::try_from).transpose()
    }

    /// Extends the claim on a job; returns whether the claim was still valid.
    ///
    /// # Errors
    ///
    /// When the database fails.
    #[boxed]
    pub async fn renew_claim(&self, id: JobId, worker: &str, until: Timestamp) -> Result<bool> {
        let keep = || {
            update_claimed(id, worker)
                .col_expr(job::Column::DueAt, Expr::val(until.microseconds()))
                .exec(self.0.writing())
        };
        Ok(attempt(keep).await?.rows_affected == 1)
    }

    /// Records that a claimed job failed and when to retry it; returns whether the claim was still
    /// valid.
    ///
    /// Keeps the first 1,000 characters of the error text.
    ///
    /// # Errors
    ///
    /// When the database fails.
    #[boxed]
    pub async fn retry(
        &self,
        id: JobId,
        worker: &str,
        due: Timestamp,
        attempts: u32,
        error: &str,
    ) -> Result<bool> {
        let attempts = i32::try_from(attempts).or_corrupt(TABLE)?;
        let retry = || {
            update_claimed(id, worker)
                .col_expr(job::Column::Holder, Expr::val(None::<String>))
                .col_expr(job::Column::DueAt, Expr::val(due.microseconds()))
                .col_expr(job::Column::Attempts, Expr::val(attempts))
                .col_expr(job::Column::Error, Expr::val(shortened(error)))
                .exec(self.0.writing())
        };
        Ok(attempt(retry).await?.rows_affected == 1)
    }

    /// Records that a claimed job failed and will not be retried; returns whether the claim was
    /// still valid.
    ///
    /// Keeps the first 1,000 characters of the error text.
    ///
    /// # Errors
    ///
    /// When the database fails.
    #[boxed]
    pub async fn mark_dead(&self, id: JobId, worker: &str, error: &str) -> Result<bool> {
        let mark_dead = || {
            update_claimed(id, worker)
                .col_expr(job::Column::Holder, Expr::val(None::<String>))
                .col_expr(job::Column::Status, Expr::val(DEAD))
                .col_expr(
                    job::Column::Attempts,
                    Expr::col(job::Column::Attempts).add(1),
                )
                .col_expr(job::Column::Error, Expr::val(shortened(error)))
                .exec(self.0.writing())
        };
        Ok(attempt(mark_dead).await?.rows_affected == 1)
    }

    /// Removes a claimed job for which nothing is left to do; returns whether the claim was still
    /// valid.
    ///
    /// # Errors
    ///
    /// When the database fails.
    #[boxed]
    pub async fn finish(&self, id: JobId, worker: &str) -> Result<bool> {
        let finish = || async { remove_in(self.0.writing(), id, worker).await };
        attempt(finish).await
    }

    /// Removes the waiting, unclaimed jobs of a transfer; returns their number.
    ///
    /// # Errors
    ///
    /// When the database fails.
    #[boxed]
    pub async fn remove_waiting(&self, transfer: RandomId, now: Timestamp) -> Result<u64> {
        let remove = || {
            job::Entity::delete_many()
                .filter(job::Column::TransferId.eq(transfer.to_string()))
                .filter(job::Column::Status.eq(WAITING))
                .filter(is_unclaimed(now))
                .exec(self.0.writing())
        };
        Ok(attempt(remove).await?.rows_affected)
    }
}

/// Makes the unclaimed jobs of a transfer due.
pub(crate) async fn release(
    transaction: &DatabaseTransaction,
    transfer: RandomId,
    now: Timestamp,
) -> Result<()> {
    job::Entity::update_many()
        .col_expr(job::Column::DueAt, Expr::val(now.microseconds()))
        .filter(job::Column::TransferId.eq(transfer.to_string()))
        .filter(job::Column::Status.eq(WAITING))
        .filter(job::Column::Holder.is_null())
        .exec(transaction)
        .await?;
    Ok(())
}

/// Removes a claimed job; returns whether the claim was still valid.
pub(crate) async fn remove_in(
    connection: &impl ConnectionTrait,
    id: JobId,
    worker: &str,
) -> Result<bool> {
    let done = job::Entity::delete_many()
        .filter(job::Column::Id.eq(id))
        .filter(job::Column::Status.eq(WAITING))
        .filter(job::Column::Holder.eq(worker))
        .exec(connection)
        .await?;
    Ok(done.rows_affected == 1)
}

/// The condition that a job is unclaimed, or its claim has expired.
fn is_unclaimed(now: Timestamp) -> Condition {
    Condition::any()
        .add(job::Column::Holder.is_null())
        .add(job::Column::DueAt.lte(now.microseconds()))
}

fn update_waiting(id: JobId) -> UpdateMany<job::Entity> {
    job::Entity::update_many()
        .filter(job::Column::Id.eq(id))
        .filter(job::Column::Status.eq(WAITING))
}

fn update_claimed(id: JobId, worker: &str) -> UpdateMany<job::Entity> {
    update_waiting(id).filter(job::Column::Holder.eq(worker))
}

fn shortened(error: &str) -> String {
    error.chars().take(MAX_ERROR_CHARS).collect()
}
