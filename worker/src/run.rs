//! Running one job: making one copy.

use std::sync::atomic::Ordering;

use domain::ErrorChain;
use service::{Job, JobId, JobOutcome};
use tracing::Instrument as _;

use crate::{Worker, trace};

impl Worker {
    /// Runs a job; `None` if the job could not be loaded from the database.
    pub(crate) async fn run_job(&self, job: JobId) -> Option<JobOutcome> {
        // The same job may arrive twice in this process, so each run claims it under another name.
        let run = self.runs.fetch_add(1, Ordering::Relaxed);
        let holder = format!("{}-{run}", self.name);
        let span = trace::begin(job);
        let outcome = self.service.execute_job(job, &holder, &self.backoff);
        match outcome.instrument(span.clone()).await {
            Ok((outcome, job)) => {
                trace::end(&span, &outcome, job.as_ref());
                self.record(&outcome, job.as_ref());
                Some(outcome)
            }
            Err(error) => {
                span.record("otel.status_code", "ERROR");
                tracing::warn!(job, error = %ErrorChain(&error), "could not load the job");
                None
            }
        }
    }

    /// Counts the outcome of a job, and logs a copy that was made.
    fn record(&self, outcome: &JobOutcome, job: Option<&Job>) {
        let Some(job) = job else {
            return;
        };
        self.metrics.outcome(job, outcome);
        if let JobOutcome::Copied(bytes) = outcome {
            tracing::info!(content = %job.sha1, from = job.from, to = job.to, bytes, "copied");
        }
    }
}
