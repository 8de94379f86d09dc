//! Dead jobs: those without a further attempt.

use domain::{Job, JobId, Timestamp};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect, sea_query::Expr};

use super::{
    Jobs,
    row::{DEAD, WAITING},
};
use crate::{boxed, entities::job, error::Result, transaction::attempt};

impl Jobs<'_> {
    /// Lists up to `limit` dead jobs, oldest first, from the first one after `after`.
    ///
    /// # Errors
    ///
    /// When the database fails, or a row cannot be read.
    #[boxed]
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
    #[boxed]
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
    #[boxed]
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
}
