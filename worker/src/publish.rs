//! Publishing due jobs to the broker.

use std::time::Duration;

use broker::Broker;
use domain::ErrorChain;
use service::{Job, JobId, LeaseName};
use telemetry::metrics::PUBLISH;
use tokio::sync::watch;

use crate::{BATCH_SIZE, POLL_INTERVAL, RETRY_DELAY, Worker, pause};

/// Time until a published job is published again: longer than a full queue usually takes, so that
/// only messages that a broker lost are repeated.
const REPUBLISH_AFTER: Duration = Duration::from_mins(10);

/// Number of ready messages in the queue above which no more are published.
const QUEUE_THRESHOLD: u32 = 5_000;

impl Worker {
    /// Publishes the jobs that are due, while this process holds the lease.
    ///
    /// A batch is finished even if the lease is lost: a deferred job must be published, too.
    pub(crate) async fn publish_loop(self, broker: Broker, stopped: watch::Receiver<bool>) {
        let lease = self.service.lease(LeaseName::Announcing);
        while !*stopped.borrow() {
            lease.acquired().await;
            match self.publish(&broker).await {
                Ok(true) => {}
                Ok(false) => pause(&stopped, POLL_INTERVAL).await,
                Err(error) => {
                    tracing::warn!(error, "could not publish jobs, retrying");
                    // Another process may reach the broker.
                    lease.back_off(RETRY_DELAY).await;
                }
            }
        }
    }

    /// Publishes one batch of due jobs; returns whether there were any.
    async fn publish(&self, broker: &Broker) -> Result<bool, String> {
        let chain = |error: service::Error| ErrorChain(&error).to_string();
        let depth = broker.depth().await;
        if depth.is_ok_and(|depth| depth.ready > QUEUE_THRESHOLD) {
            return Ok(false);
        }
        let due = self
            .service
            .list_due_jobs(BATCH_SIZE)
            .await
            .map_err(chain)?;
        let mut deferred = Vec::new();
        for job in due {
            // Another process that has just taken the lease may have deferred the job already.
            let until = self.service.defer_job(&job, REPUBLISH_AFTER).await;
            if let Some(due_at) = until.map_err(chain)? {
                deferred.push(Job { due_at, ..job });
            }
        }
        if deferred.is_empty() {
            return Ok(false);
        }
        let ids: Vec<JobId> = deferred.iter().map(|job| job.id).collect();
        if let Err(error) = broker.publish(&ids).await {
            self.metrics.broker_failed(PUBLISH);
            for job in deferred {
                // If this fails as well, the job is published after its deferral.
                let _ = self.service.defer_job(&job, Duration::ZERO).await;
            }
            return Err(ErrorChain(&error).to_string());
        }
        self.metrics.carried(PUBLISH, ids.len());
        Ok(true)
    }
}
