//! Jobs: copies to make from one store to another.
//!
//! The transaction that makes a copy necessary creates the job; the transaction that makes the copy
//! count removes it. In between, a worker claims the job for a limited time, during which no other
//! worker has it.

mod row;

use domain::{Job, JobCounts, JobId, NewJob, RandomId, Timestamp};
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, DatabaseTransaction, DbBackend, EntityTrait,
    ExprTrait, PaginatorTrait, QueryFilter, QueryOrder, QuerySelect, TryInsertResult, UpdateMany,
    sea_query::{Expr, OnConflict},
};

use self::row::{DEAD, TABLE, WAITING, to_row};
use crate::{
    database::Database, entities::job, error::Result, row::OrCorrupt as _, transaction::attempt,
};

/// The number of jobs that one statement inserts; each takes a parameter for each of its columns.
const BATCH_SIZE: usize = 500;

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
    /// Adds jobs, except those that exist already; returns the number of added jobs.
    ///
    /// # Errors
    ///
    /// When the database fails; no job is added then.
    pub async fn insert_many(&self, jobs: &[NewJob], now: Timestamp) -> Result<u64> {
        self.0
            .transact(|transaction| async move {
                let mut added = 0;
                for jobs in jobs.chunks(BATCH_SIZE) {
                    added += insert_batch(&transaction, jobs, now).await?;
                }
                Ok(added)
            })
            .await
    }

    /// Finds a job. Reads from the primary.
    ///
    /// # Errors
    ///
    /// When the database fails, or the row cannot be read.
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
    pub async fn claim(
        &self,
        id: JobId,
        holder: &str,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Option<Job>> {
        let claim = || {
            update_waiting(id)
                .col_expr(job::Column::Holder, Expr::val(holder))
                .col_expr(job::Column::DueAt, Expr::val(until.microseconds()))
                .filter(is_unclaimed(now).add(job::Column::Holder.eq(holder)))
                .exec(self.0.writing())
        };
        if attempt(claim).await?.rows_affected == 0 {
            return Ok(None);
        }
        let find = || job::Entity::find_by_id(id).one(self.0.newest());
        let row = attempt(find).await?;
        // The claim may have expired already, and another worker may have claimed the job.
        let own = row.filter(|row| row.status == WAITING && row.holder.as_deref() == Some(holder));
        own.map(Job::try_from).transpose()
    }

    /// Extends the claim on a job; returns whether the claim was still valid.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn renew_claim(&self, id: JobId, holder: &str, until: Timestamp) -> Result<bool> {
        let keep = || {
            update_claimed(id, holder)
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
    pub async fn retry(
        &self,
        id: JobId,
        holder: &str,
        due: Timestamp,
        attempts: u32,
        error: &str,
    ) -> Result<bool> {
        let attempts = i32::try_from(attempts).or_corrupt(TABLE)?;
        let retry = || {
            update_claimed(id, holder)
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
    pub async fn mark_dead(&self, id: JobId, holder: &str, error: &str) -> Result<bool> {
        let mark_dead = || {
            update_claimed(id, holder)
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
    pub async fn finish(&self, id: JobId, holder: &str) -> Result<bool> {
        let finish = || async { remove_in(self.0.writing(), id, holder).await };
        attempt(finish).await
    }

    /// Lists up to `limit` dead jobs, oldest first, from the first one after `after`.
    ///
    /// # Errors
    ///
    /// When the database fails, or a row cannot be read.
    pub async fn list_dead(&self, after: Option<JobId>, limit: u64) -> Result<Vec<Job>> {
        let list = || {
            job::Entity::find()
                .filter(job::Column::Status.eq(DEAD))
                .filter(job::Column::Id.gt(after.unwrap_or_default()))
                .order_by_asc(job::Column::Id)
                .limit(limit)
                .all(self.0.newest())
        };
        let rows = attempt(list).await?;
        rows.into_iter().map(TryInto::try_into).collect()
    }

    /// Requeues one dead job, or all of them; returns their number.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn requeue(&self, id: Option<JobId>, now: Timestamp) -> Result<u64> {
        let requeue = || {
            let mut update = job::Entity::update_many()
                .col_expr(job::Column::Status, Expr::val(WAITING))
                .col_expr(job::Column::Attempts, Expr::val(0))
                .col_expr(job::Column::DueAt, Expr::val(now.microseconds()))
                .filter(job::Column::Status.eq(DEAD));
            if let Some(id) = id {
                update = update.filter(job::Column::Id.eq(id));
            }
            update.exec(self.0.writing())
        };
        Ok(attempt(requeue).await?.rows_affected)
    }

    /// Removes the dead jobs between two stores, so that the copies can be requested again.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn remove_dead(&self, from: &str, to: &str) -> Result<()> {
        let remove = || {
            job::Entity::delete_many()
                .filter(job::Column::FromStore.eq(from))
                .filter(job::Column::ToStore.eq(to))
                .filter(job::Column::Status.eq(DEAD))
                .exec(self.0.writing())
        };
        attempt(remove).await.map(drop)
    }

    /// Removes the waiting, unclaimed jobs of a transfer; returns their number.
    ///
    /// # Errors
    ///
    /// When the database fails.
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

    /// Counts the jobs of a transfer: those that are waiting or running, and the dead ones.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn count_in_transfer(&self, transfer: RandomId) -> Result<(u64, u64)> {
        let count = |status: i32| async move {
            let count = || {
                job::Entity::find()
                    .filter(job::Column::TransferId.eq(transfer.to_string()))
                    .filter(job::Column::Status.eq(status))
                    .count(self.0.newest())
            };
            attempt(count).await
        };
        Ok((count(WAITING).await?, count(DEAD).await?))
    }

    /// Counts the jobs from one store to another, inside or outside of transfers: those that are
    /// waiting or running, and the dead ones.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn count_between(&self, from: &str, to: &str) -> Result<(u64, u64)> {
        let count = |status: i32| async move {
            let count = || {
                job::Entity::find()
                    .filter(job::Column::Status.eq(status))
                    .filter(job::Column::FromStore.eq(from))
                    .filter(job::Column::ToStore.eq(to))
                    .count(self.0.newest())
            };
            attempt(count).await
        };
        Ok((count(WAITING).await?, count(DEAD).await?))
    }

    /// Counts all jobs, and finds the creation time of the oldest one that is waiting or running.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn counts(&self) -> Result<JobCounts> {
        let count = || {
            job::Entity::find()
                .select_only()
                .column(job::Column::Status)
                .column_as(job::Column::Id.count(), "jobs")
                .column_as(job::Column::CreateAt.min(), "oldest")
                .group_by(job::Column::Status)
                .into_tuple::<(i32, i64, Option<i64>)>()
                .all(self.0.reading())
        };
        let mut counts = JobCounts::default();
        for (status, jobs, oldest) in attempt(count).await? {
            let jobs = jobs.try_into().or_corrupt(TABLE)?;
            if status == WAITING {
                counts.waiting = jobs;
                counts.oldest = oldest.map(Timestamp::from_microseconds);
            } else {
                counts.dead += jobs;
            }
        }
        Ok(counts)
    }
}

/// Adds the jobs of one batch, except those that exist already.
async fn insert_batch(
    transaction: &DatabaseTransaction,
    jobs: &[NewJob],
    now: Timestamp,
) -> Result<u64> {
    let marks = transaction.get_database_backend() == DbBackend::MySql;
    let mark = marks.then(|| format!("new {:016x}", getrandom::u64().unwrap_or_default()));
    let rows: Result<Vec<_>> = jobs
        .iter()
        .map(|job| to_row(job, now, mark.clone()))
        .collect();
    // The default, which sets the id to itself, is not possible: MySQL refuses that after the
    // statement has generated an id.
    let nothing = OnConflict::columns([
        job::Column::FileSha1,
        job::Column::FromStore,
        job::Column::ToStore,
    ])
    .do_nothing_on([job::Column::FileSha1])
    .to_owned();
    let insert = job::Entity::insert_many(rows?)
        .on_conflict(nothing)
        .try_insert()
        .exec_without_returning(transaction);
    let added = match insert.await? {
        TryInsertResult::Inserted(added) => added,
        TryInsertResult::Empty | TryInsertResult::Conflicted => 0,
    };
    let Some(mark) = mark else {
        return Ok(added);
    };
    // MySQL also counts the jobs that existed already, so the inserted ones are marked and counted.
    let unmark = job::Entity::update_many()
        .col_expr(job::Column::Holder, Expr::val(None::<String>))
        .filter(job::Column::FileSha1.is_in(jobs.iter().map(|job| job.sha1.to_string())))
        .filter(job::Column::Holder.eq(mark))
        .exec(transaction);
    Ok(unmark.await?.rows_affected)
}

/// Adds the job that copies a content which has just reached its store.
///
/// An existing job refers to older bytes at the source: it starts again, and loses its claim, so
/// that its worker cannot remove it as done.
pub(crate) async fn upsert_in(
    transaction: &DatabaseTransaction,
    job: &NewJob,
    now: Timestamp,
) -> Result<()> {
    let restart = OnConflict::columns([
        job::Column::FileSha1,
        job::Column::FromStore,
        job::Column::ToStore,
    ])
    .value(job::Column::Holder, Expr::val(None::<String>))
    .value(job::Column::Status, Expr::val(WAITING))
    .value(job::Column::Attempts, Expr::val(0))
    .value(job::Column::DueAt, Expr::val(job.due_at.microseconds()))
    .to_owned();
    job::Entity::insert(to_row(job, now, None)?)
        .on_conflict(restart)
        .exec_without_returning(transaction)
        .await?;
    Ok(())
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
    holder: &str,
) -> Result<bool> {
    let done = job::Entity::delete_many()
        .filter(job::Column::Id.eq(id))
        .filter(job::Column::Status.eq(WAITING))
        .filter(job::Column::Holder.eq(holder))
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

fn update_claimed(id: JobId, holder: &str) -> UpdateMany<job::Entity> {
    update_waiting(id).filter(job::Column::Holder.eq(holder))
}

fn shortened(error: &str) -> String {
    error.chars().take(MAX_ERROR_CHARS).collect()
}
