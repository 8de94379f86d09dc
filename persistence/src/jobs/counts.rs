//! The number of jobs by state.

use domain::{JobCounts, RandomId, Timestamp};
use sea_orm::{ColumnTrait, EntityTrait, PaginatorTrait, QueryFilter, QuerySelect};

use super::{
    Jobs,
    row::{DEAD, TABLE, WAITING},
};
use crate::{boxed, entities::job, error::Result, row::OrCorrupt as _, transaction::attempt};

impl Jobs<'_> {
    /// Counts the jobs of a transfer: those that are waiting or running, and the dead ones.
    ///
    /// # Errors
    ///
    /// When the database fails.
    #[boxed]
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
    #[boxed]
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
    #[boxed]
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
