//! Consuming job messages from the broker.

use std::time::Duration;

use broker::{Broker, Delivery};
use domain::ErrorChain;
use service::JobOutcome;
use telemetry::metrics::CONSUME;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tracing::Instrument as _;

use crate::{RETRY_DELAY, Worker, pause};

/// Time until a message is acknowledged even if its copy still runs. The broker closes the channel of
/// a consumer that leaves a message unacknowledged for half an hour.
const ACK_TIMEOUT: Duration = Duration::from_mins(10);

impl Worker {
    /// Makes the copies that messages request until shutdown.
    pub(crate) async fn consume_loop(self, broker: Broker, stopped: watch::Receiver<bool>) {
        while !*stopped.borrow() {
            if let Err(error) = self.consume(&broker, &stopped).await {
                self.metrics.broker_failed(CONSUME);
                tracing::warn!(error = %ErrorChain(&error), "broker consumer failed, retrying");
                pause(&stopped, RETRY_DELAY).await;
            }
        }
    }

    async fn consume(
        &self,
        broker: &Broker,
        stopped: &watch::Receiver<bool>,
    ) -> broker::Result<()> {
        let mut deliveries = broker.consume().await?;
        while let Some(permit) = self.permit(stopped).await {
            let mut stop = stopped.clone();
            let next = tokio::select! {
                next = deliveries.next() => next?,
                _ = stop.wait_for(|stopped| *stopped) => return Ok(()),
            };
            let Some(delivery) = next else {
                return Ok(());
            };
            self.metrics.carried(CONSUME, 1);
            let (worker, span) = (self.clone(), delivery.span.clone());
            let handled = async move { worker.handle_delivery(delivery, permit).await };
            tokio::spawn(handled.instrument(span));
        }
        Ok(())
    }

    /// Runs the job of a message, and acknowledges the message.
    async fn handle_delivery(self, delivery: Delivery, permit: OwnedSemaphorePermit) {
        if let Ok(Some(job)) = self.service.find_job(delivery.job).await
            && !self.service.has_stores_of(&job)
        {
            // The job is for a worker whose settings name the stores.
            tokio::time::sleep(RETRY_DELAY).await;
            let _ = delivery.requeue().await;
            return;
        }
        let running = self.run_job(delivery.job);
        tokio::pin!(running);
        let outcome = tokio::select! {
            outcome = &mut running => outcome,
            () = tokio::time::sleep(ACK_TIMEOUT) => {
                // The row of the job names its holder, and shows that the holder is alive.
                log_failed_ack(delivery.ack().await);
                running.await;
                drop(permit);
                return;
            }
        };
        log_failed_ack(match outcome {
            // A dead job appears among the dead letters, too.
            Some(JobOutcome::Dead(_)) => delivery.reject().await,
            // A job to be run later is published again; one that another process holds is done there.
            Some(_) => delivery.ack().await,
            None => {
                tokio::time::sleep(RETRY_DELAY).await;
                delivery.requeue().await
            }
        });
        drop(permit);
    }
}

fn log_failed_ack(acknowledged: broker::Result<()>) {
    if let Err(error) = acknowledged {
        let error = ErrorChain(&error);
        tracing::debug!(%error, "could not acknowledge a message; the broker will redeliver it");
    }
}
