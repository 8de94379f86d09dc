//! Exec.

use std::time::Duration;

use domain::Backoff;
use persistence::{Job, JobId};

use crate::{Error, FileService, Result, copy::CopyOutcome};

/// How long a worker has a job before others take it for dead; a worker at work prolongs it.
const CLAIM_DURATION: Duration = Duration::from_mins(1);

/// What came of a job.
#[derive(Debug)]
pub enum JobOutcome {
    /// The copy is made: so many bytes.
    Copied(u64),
    /// There is nothing to copy, or no need to.
    Unnecessary,
    /// Another worker is at it, or it is done.
    AlreadyHeld,
    /// It failed, and will be tried again.
    Failed(Error),
    /// It failed too often, and waits for somebody to look at it.
    Dead(Error),
}

impl JobOutcome {
    /// What metrics call it.
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
    /// Makes the copy that a job asks for, in the name of a worker; gives the job as well, if it
    /// was to be had.
    ///
    /// # Errors
    ///
    /// When the database fails, so that nothing is known of the job. What goes wrong with the copy
    /// is told by what it gives.
    pub async fn execute_job(
        &self,
        id: JobId,
        worker: &str,
        backoff: &Backoff,
    ) -> Result<(JobOutcome, Option<Job>)> {
        let now = self.0.clock.now();
        let jobs = self.0.database.jobs();
        let Some(job) = jobs
            .hold(id, worker, now, now.after(CLAIM_DURATION))
            .await?
        else {
            return Ok((JobOutcome::AlreadyHeld, None));
        };
        let result = tokio::select! {
            result = self.make_copy(&job, worker) => result,
            // Another worker has it by now.
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
                jobs.retry(id, worker, due, job.attempts, "the file changed meanwhile")
                    .await?;
                JobOutcome::Unnecessary
            }
            Err(error) => self.fail_job(&job, worker, backoff, error).await?,
        };
        Ok((outcome, Some(job)))
    }

    /// Keeps a job held, and ends when it is not any more.
    async fn renew_claim_until_lost(&self, id: JobId, worker: &str) {
        loop {
            tokio::time::sleep(CLAIM_DURATION / 3).await;
            let until = self.0.clock.now().after(CLAIM_DURATION);
            let jobs = self.0.database.jobs();
            match jobs.keep_holding(id, worker, until).await {
                Ok(true) => {}
                Ok(false) => return,
                // The switch is guarded, whatever becomes of this.
                Err(error) => tracing::warn!(job = id, %error, "a job may be taken for dead"),
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
            jobs.bury(job.id, worker, &error_chain).await?;
            tracing::error!(job = job.id, content = %job.sha1, to = job.to, error = error_chain, "a copy was given up");
            return Ok(JobOutcome::Dead(error));
        };
        let due = self.0.clock.now().after(wait);
        jobs.retry(job.id, worker, due, attempts, &error_chain)
            .await?;
        tracing::warn!(job = job.id, content = %job.sha1, to = job.to, attempts, error = error_chain, "a copy failed");
        Ok(JobOutcome::Failed(error))
    }
}

/// What went wrong, down to what was at the bottom of it.
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
