//! Jobs.

use std::time::Duration;

use domain::Timestamp;
use persistence::{Job, JobId};

use crate::{FileService, JobStanding, Result};

impl FileService {
    /// Finds a job that was announced.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn find_job(&self, id: JobId) -> Result<Option<Job>> {
        Ok(self.0.database.jobs().find(id).await?)
    }

    /// The jobs that are due, the longest waiting first, whoever has their stores.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn list_due_jobs(&self, limit: u64) -> Result<Vec<Job>> {
        let now = self.0.clock.now();
        Ok(self.0.database.jobs().list_due(now, limit).await?)
    }

    /// Whether the settings have both stores of a job.
    #[must_use]
    pub fn has_stores_of(&self, job: &Job) -> bool {
        [&job.from, &job.to]
            .into_iter()
            .all(|name| self.0.stores.get(name).is_some())
    }

    /// Says that a job is not due before a time has passed, if it is as it was seen; gives until
    /// when.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn defer_job(&self, job: &Job, time: Duration) -> Result<Option<Timestamp>> {
        let until = self.0.clock.now().after(time);
        let jobs = self.0.database.jobs();
        let is_deferred = jobs.defer(job.id, job.due_at, until).await?;
        Ok(is_deferred.then_some(until))
    }

    /// How the jobs stand.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn count_jobs(&self) -> Result<JobStanding> {
        Ok(self.0.database.jobs().standing().await?)
    }

    /// The jobs that failed too often, after one of them.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn list_dead_jobs(&self, after: Option<JobId>, limit: u64) -> Result<Vec<Job>> {
        Ok(self.0.database.jobs().list_dead(after, limit).await?)
    }

    /// Lets a job be tried again that failed too often, or all of them; gives how many there were.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn requeue_jobs(&self, id: Option<JobId>) -> Result<u64> {
        let now = self.0.clock.now();
        Ok(self.0.database.jobs().revive(id, now).await?)
    }
}
