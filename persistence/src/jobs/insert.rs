//! New jobs.

use domain::{NewJob, Timestamp};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DatabaseTransaction, DbBackend, EntityTrait, QueryFilter,
    TryInsertResult,
    sea_query::{Expr, OnConflict},
};

use super::{
    Jobs,
    row::{WAITING, to_row},
};
use crate::{boxed, entities::job, error::Result};

/// The number of jobs that one statement inserts; each takes a parameter for each of its columns.
const BATCH_SIZE: usize = 500;

impl Jobs<'_> {
    /// Adds jobs, except those that exist already; returns the number of added jobs.
    ///
    /// # Errors
    ///
    /// When the database fails; no job is added then.
    #[boxed]
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
