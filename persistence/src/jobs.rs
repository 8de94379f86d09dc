//! The copies that are to be made from store to store.
//!
//! A job is made in the transaction that makes it necessary, and goes in the one that says that the
//! copy counts. In between, whoever works on it holds it for a time, and nobody else does.

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

/// How many jobs one statement adds; each takes a parameter for each of its columns.
const BATCH_SIZE: usize = 500;

/// The longest text of an error that is kept, in characters.
const MAX_ERROR_CHARS: usize = 1000;

/// The copies that are to be made.
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
    /// Adds jobs, except those for which there is one; gives how many were added.
    ///
    /// # Errors
    ///
    /// When the database fails; none is added then.
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

    /// Finds a job, as it is now.
    ///
    /// # Errors
    ///
    /// When the database fails, or the row cannot be read.
    pub async fn find(&self, id: JobId) -> Result<Option<Job>> {
        let find = || job::Entity::find_by_id(id).one(self.0.newest());
        attempt(find).await?.map(Job::try_from).transpose()
    }

    /// Lists up to `limit` jobs that are to be done by now, the longest due first: those that nobody
    /// holds, and those whose holder's time is over.
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

    /// Keeps a job from being listed before a time, since others were told of it, if it is still due
    /// when it was seen to be; nobody holds it then.
    ///
    /// Gives whether it was.
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

    /// Holds a job until a time, unless somebody else does; gives it, or `None` if it cannot be had.
    ///
    /// A job that nobody holds can be had before it is due.
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
                .filter(is_free(now).add(job::Column::Holder.eq(holder)))
                .exec(self.0.writing())
        };
        if attempt(claim).await?.rows_affected == 0 {
            return Ok(None);
        }
        let find = || job::Entity::find_by_id(id).one(self.0.newest());
        let row = attempt(find).await?;
        // Its time may be over already, and somebody else have it.
        let own = row.filter(|row| row.status == WAITING && row.holder.as_deref() == Some(holder));
        own.map(Job::try_from).transpose()
    }

    /// Holds a job that is held for longer; gives whether it still was.
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

    /// Says that a job that is held failed, and is to be tried again at a time; gives whether it
    /// still was held.
    ///
    /// Of the error's text, no more than the first 1,000 characters are kept.
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

    /// Says that a job that is held failed, and is not to be tried again; gives whether it still was
    /// held.
    ///
    /// Of the error's text, no more than the first 1,000 characters are kept.
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

    /// Removes a job that is held, and that there is nothing to do for; gives whether it still was
    /// held.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn finish(&self, id: JobId, holder: &str) -> Result<bool> {
        let finish = || async { remove_in(self.0.writing(), id, holder).await };
        attempt(finish).await
    }

    /// Lists up to `limit` jobs that are tried no more, oldest first, from after one on.
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

    /// Begins anew with one job that is tried no more, or with all; gives how many these are.
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

    /// Removes the copies between two stores that failed too often: they are ordered anew, or not
    /// at all.
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

    /// Removes the jobs of a transfer that are to be done and that nobody holds at a moment; gives
    /// how many these were.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn remove_waiting(&self, transfer: RandomId, now: Timestamp) -> Result<u64> {
        let remove = || {
            job::Entity::delete_many()
                .filter(job::Column::TransferId.eq(transfer.to_string()))
                .filter(job::Column::Status.eq(WAITING))
                .filter(is_free(now))
                .exec(self.0.writing())
        };
        Ok(attempt(remove).await?.rows_affected)
    }

    /// Counts the jobs of a transfer: those that are to be done or being done, and those that are
    /// tried no more.
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

    /// Counts the jobs for copies from one store to another, whoever ordered them: those that are to
    /// be done or being done, and those that are tried no more.
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

    /// Counts all jobs, and tells since when the oldest is to be done.
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

/// Adds jobs that no statement is too long for, except those for which there is one.
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
    // To set the id to itself, as nothing is done by default, MySQL refuses once the statement has
    // made an id.
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
    // MySQL counts those as well for which there was one.
    let unmark = job::Entity::update_many()
        .col_expr(job::Column::Holder, Expr::val(None::<String>))
        .filter(job::Column::FileSha1.is_in(jobs.iter().map(|job| job.sha1.to_string())))
        .filter(job::Column::Holder.eq(mark))
        .exec(transaction);
    Ok(unmark.await?.rows_affected)
}

/// Adds a job for a copy of what has just come to its store.
///
/// One that there is already is for bytes that lay there before: it begins anew, and whoever holds
/// it does no longer, and so cannot remove it as done.
pub(crate) async fn upsert_in(
    transaction: &DatabaseTransaction,
    job: &NewJob,
    now: Timestamp,
) -> Result<()> {
    let anew = OnConflict::columns([
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
        .on_conflict(anew)
        .exec_without_returning(transaction)
        .await?;
    Ok(())
}

/// Makes those jobs of a transfer due that nobody holds.
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

/// Removes a job that is held; gives whether it was.
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

/// Nobody holds it, or whoever does has no more time.
fn is_free(now: Timestamp) -> Condition {
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
