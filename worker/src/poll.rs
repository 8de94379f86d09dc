//! Polling the database for jobs, where there is no broker.

use domain::ErrorChain;
use tokio::sync::watch;

use crate::{BATCH_SIZE, POLL_INTERVAL, RETRY_DELAY, Worker, pause};

impl Worker {
    /// Runs the jobs that are due until shutdown.
    pub(crate) async fn poll_loop(self, stopped: watch::Receiver<bool>) {
        while !*stopped.borrow() {
            let mut jobs = match self.service.list_due_jobs(BATCH_SIZE).await {
                Ok(jobs) => jobs,
                Err(error) => {
                    tracing::warn!(error = %ErrorChain(&error), "could not load due jobs, retrying");
                    pause(&stopped, RETRY_DELAY).await;
                    continue;
                }
            };
            // A worker whose settings name the stores runs the others.
            jobs.retain(|job| self.service.has_stores_of(job));
            // Fewer jobs than may run at a time: running ones may still look due in the database.
            let is_idle = jobs.len() < self.concurrent_copies as usize;
            for job in jobs {
                let Some(permit) = self.permit(&stopped).await else {
                    return;
                };
                let worker = self.clone();
                tokio::spawn(async move {
                    if worker.run_job(job.id).await.is_none() {
                        tokio::time::sleep(RETRY_DELAY).await;
                    }
                    drop(permit);
                });
            }
            if is_idle {
                pause(&stopped, POLL_INTERVAL).await;
            }
        }
    }
}
