//! Queries and updates of the job queue.

use std::time::Duration;

use domain::{Job, JobId, Timestamp};

use crate::{FileService, JobCounts, Result, boxed};

impl FileService {
    /// Finds a job by its id.
    ///
    /// # Errors
    ///
    /// When the database fails.
    #[boxed]
    pub async fn find_job(&self, id: JobId) -> Result<Option<Job>> {
        Ok(self.0.database.jobs().find(id).await?)
    }

    /// Lists due jobs, the longest waiting first, even if their stores are not configured here.
    ///
    /// # Errors
    ///
    /// When the database fails.
    #[boxed]
    pub async fn list_due_jobs(&self, limit: u64) -> Result<Vec<Job>> {
        let now = self.0.clock.now();
        Ok(self.0.database.jobs().list_due(now, limit).await?)
    }

    /// Returns whether both stores of a job are configured.
    #[must_use]
    pub fn has_stores_of(&self, job: &Job) -> bool {
        [&job.from, &job.to]
            .into_iter()
            .all(|name| self.0.stores.get(name).is_some())
    }

    /// Defers a job that is unchanged; returns the new due time, or `None` if it has changed.
    ///
    /// # Errors
    ///
    /// When the database fails.
    #[boxed]
    pub async fn defer_job(&self, job: &Job, time: Duration) -> Result<Option<Timestamp>> {
        let until = self.0.clock.now().after(time);
        let jobs = self.0.database.jobs();
        let is_deferred = jobs.defer(job.id, job.due_at, until).await?;
        Ok(is_deferred.then_some(until))
    }

    /// Counts the jobs by state.
    ///
    /// # Errors
    ///
    /// When the database fails.
    #[boxed]
    pub async fn count_jobs(&self) -> Result<JobCounts> {
        Ok(self.0.database.jobs().counts().await?)
    }

    /// Lists the dead jobs after a job.
    ///
    /// # Errors
    ///
    /// When the database fails.
    #[boxed]
    pub async fn list_dead_jobs(&self, after: Option<JobId>, limit: u64) -> Result<Vec<Job>> {
        Ok(self.0.database.jobs().list_dead(after, limit).await?)
    }

    /// Requeues one dead job, or all of them; returns their number.
    ///
    /// # Errors
    ///
    /// When the database fails.
    #[boxed]
    pub async fn requeue_jobs(&self, id: Option<JobId>) -> Result<u64> {
        let now = self.0.clock.now();
        Ok(self.0.database.jobs().requeue(id, now).await?)
    }
}
