//! Executes jobs.

use std::time::Duration;

use domain::{Backoff, Job, JobId};

use crate::{Error, FileService, Result, boxed, copy::CopyOutcome};

/// Time after which a claimed job can be claimed by another worker; the worker extends it while it
/// works.
const CLAIM_DURATION: Duration = Duration::from_mins(1);

/// Result of a job.
#[derive(Debug)]
pub enum JobOutcome {
    /// Copied, with the number of bytes.
    Copied(u64),
    /// Nothing to copy.
    Unnecessary,
    /// Another worker has claimed the job, or it is finished.
    AlreadyHeld,
    /// Failed; the job will be tried again.
    Failed(Error),
    /// Failed too often; the job waits for an operator.
    Dead(Error),
}

impl JobOutcome {
    /// Label of the result in metrics and traces.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Copied(_) => "copied",
            Self::Unnecessary => "needless",
            Self::AlreadyHeld => "taken",
            Self::Failed(_) => "failed",
            Self::Dead(_) => "buried",
        }
    }
}

impl FileService {
    /// Claims a job for a worker and makes its copy; returns the job as well if it could be
    /// claimed.
    ///
    /// # Errors
    ///
    /// When the database fails, so that the state of the job is unknown. Errors of the copy are
    /// part of the result.
    #[boxed]
    pub async fn execute_job(
        &self,
        id: JobId,
        worker: &str,
        backoff: &Backoff,
    ) -> Result<(JobOutcome, Option<Job>)> {
        let now = self.0.clock.now();
        let jobs = self.0.database.jobs();
        let Some(job) = jobs
            .claim(id, worker, now, now.after(CLAIM_DURATION))
            .await?
        else {
            return Ok((JobOutcome::AlreadyHeld, None));
        };
        let result = tokio::select! {
            result = self.make_copy(&job, worker) => result,
            // Another worker has claimed it.
            () = self.renew_claim_until_lost(id, worker) => return Ok((JobOutcome::AlreadyHeld, Some(job))),
        };
        let outcome = match result {
            Ok(CopyOutcome::Copied) => JobOutcome::Copied(job.size),
            Ok(CopyOutcome::Unnecessary) => {
                jobs.finish(id, worker).await?;
                JobOutcome::Unnecessary
            }
            Ok(CopyOutcome::Changed) => {
                let due = self.0.clock.now();
                jobs.retry(
                    id,
                    worker,
                    due,
                    job.attempts,
                    "the content changed during the copy",
                )
                .await?;
                JobOutcome::Unnecessary
            }
            Err(error) => self.fail_job(&job, worker, backoff, error).await?,
        };
        Ok((outcome, Some(job)))
    }

    /// Renews the claim of a job; returns when the claim is lost.
    async fn renew_claim_until_lost(&self, id: JobId, worker: &str) {
        loop {
            tokio::time::sleep(CLAIM_DURATION / 3).await;
            let until = self.0.clock.now().after(CLAIM_DURATION);
            let jobs = self.0.database.jobs();
            match jobs.renew_claim(id, worker, until).await {
                Ok(true) => {}
                Ok(false) => return,
                // The update of the content's row is guarded, so a lost claim does no harm.
                Err(error) => {
                    tracing::warn!(job = id, %error, "could not renew the claim of the job");
                }
            }
        }
    }

    async fn fail_job(
        &self,
        job: &Job,
        worker: &str,
        backoff: &Backoff,
        error: Error,
    ) -> Result<JobOutcome> {
        let jobs = self.0.database.jobs();
        let (attempts, error_chain) = (job.attempts + 1, error_chain(&error));
        let chance = getrandom::u32().unwrap_or(u32::MAX);
        let Some(wait) = backoff.wait(attempts, chance) else {
            jobs.mark_dead(job.id, worker, &error_chain).await?;
            tracing::error!(job = job.id, content = %job.sha1, to = job.to, error = error_chain, "copy failed too often, the job is dead");
            return Ok(JobOutcome::Dead(error));
        };
        let due = self.0.clock.now().after(wait);
        jobs.retry(job.id, worker, due, attempts, &error_chain)
            .await?;
        tracing::warn!(job = job.id, content = %job.sha1, to = job.to, attempts, error = error_chain, "copy failed, the job will be retried");
        Ok(JobOutcome::Failed(error))
    }
}

/// The error with its causes.
fn error_chain(error: &Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(deeper) = source {
        let more = deeper.to_string();
        if !text.ends_with(&more) {
            text = format!("{text}: {more}");
        }
        source = deeper.source();
    }
    text
}
