//! How jobs come to whoever makes the copies.

use std::{sync::atomic::Ordering, time::Duration};

use broker::{Broker, Delivery};
use service::{Duty, JobId, Performed};
use tokio::sync::{OwnedSemaphorePermit, watch};
use tracing::Instrument as _;

use super::{LOOK_EVERY, Worker, note, pause};
use crate::{
    metrics::{CONSUME, PUBLISH},
    problem::Causes,
    traces,
};

/// How many jobs are announced together.
const BATCH: u64 = 500;

/// For how long a job that was announced is not announced again: the queue is long at times, and
/// what got lost with a broker is found after that.
const ANNOUNCED_FOR: Duration = Duration::from_mins(10);

/// How long an announcement is left without an answer: a broker ends the conversation with whoever
/// takes half an hour.
const ANSWERED_WITHIN: Duration = Duration::from_mins(10);

/// With how many announcements that nobody has heard yet no more are made.
const ENOUGH: u32 = 5_000;

/// How long to wait after the broker or the database failed.
const AFTER_FAILURE: Duration = Duration::from_secs(2);

impl Worker {
    /// Looks for jobs that are due, where there is no broker.
    pub(super) async fn keep_looking(self, stopped: watch::Receiver<bool>) {
        while !*stopped.borrow() {
            let mut jobs = match self.service.due_jobs(BATCH).await {
                Ok(jobs) => jobs,
                Err(error) => {
                    tracing::warn!(error = %Causes(&error), "jobs cannot be looked for");
                    pause(&stopped, AFTER_FAILURE).await;
                    continue;
                }
            };
            // Others are for other workers, whose settings have the stores.
            jobs.retain(|job| self.service.has_stores_of(job));
            // Fewer than can be done at a time: those that were begun may still look as if they
            // were due.
            let is_idle = jobs.len() < self.copies as usize;
            for job in jobs {
                let Some(room) = self.room(&stopped).await else {
                    return;
                };
                let worker = self.clone();
                tokio::spawn(async move {
                    if worker.perform(job.id).await.is_none() {
                        tokio::time::sleep(AFTER_FAILURE).await;
                    }
                    drop(room);
                });
            }
            if is_idle {
                pause(&stopped, LOOK_EVERY).await;
            }
        }
    }

    /// Announces the jobs that are due, whenever it is this process's turn.
    ///
    /// Each time to the end: a job that was put off is to be announced, too.
    pub(super) async fn keep_announcing(self, broker: Broker, stopped: watch::Receiver<bool>) {
        let lease = self.service.lease(Duty::Announcing);
        while !*stopped.borrow() {
            lease.held().await;
            match self.announce(&broker).await {
                Ok(true) => {}
                Ok(false) => pause(&stopped, LOOK_EVERY).await,
                Err(error) => {
                    tracing::warn!(error, "jobs wait until they can be announced");
                    // Others may reach the broker.
                    lease.leave(AFTER_FAILURE).await;
                }
            }
        }
    }

    /// Announces some of the jobs that are due; gives whether there were any.
    async fn announce(&self, broker: &Broker) -> Result<bool, String> {
        let told = |error: service::Error| Causes(&error).to_string();
        let depth = broker.depth().await;
        if depth.is_ok_and(|depth| depth.ready > ENOUGH) {
            return Ok(false);
        }
        let due = self.service.due_jobs(BATCH).await.map_err(told)?;
        let mut taken = Vec::new();
        for job in due {
            // Another process may see the same, if it takes the turn now.
            if let Some(until) = self
                .service
                .defer_job(&job, ANNOUNCED_FOR)
                .await
                .map_err(told)?
            {
                taken.push(service::Job {
                    due_at: until,
                    ..job
                });
            }
        }
        if taken.is_empty() {
            return Ok(false);
        }
        let ids: Vec<JobId> = taken.iter().map(|job| job.id).collect();
        if let Err(error) = broker.publish(&ids).await {
            self.metrics.broker_failed(PUBLISH);
            for job in taken {
                // Should this fail, too, they are announced later.
                let _ = self.service.defer_job(&job, Duration::ZERO).await;
            }
            return Err(Causes(&error).to_string());
        }
        self.metrics.carried(PUBLISH, ids.len());
        Ok(true)
    }

    /// Makes the copies that are announced.
    pub(super) async fn keep_listening(self, broker: Broker, stopped: watch::Receiver<bool>) {
        while !*stopped.borrow() {
            if let Err(error) = self.listen(&broker, &stopped).await {
                self.metrics.broker_failed(CONSUME);
                tracing::warn!(error = %Causes(&error), "announcements are not heard");
                pause(&stopped, AFTER_FAILURE).await;
            }
        }
    }

    async fn listen(&self, broker: &Broker, stopped: &watch::Receiver<bool>) -> broker::Result<()> {
        let mut deliveries = broker.consume().await?;
        while let Some(room) = self.room(stopped).await {
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
            tokio::spawn(async move { worker.obey(delivery, room).await }.instrument(span));
        }
        Ok(())
    }

    /// Makes the copy that was announced, and answers for it.
    async fn obey(self, delivery: Delivery, room: OwnedSemaphorePermit) {
        if let Ok(Some(job)) = self.service.find_job(delivery.job).await
            && !self.service.has_stores_of(&job)
        {
            // It is for another worker, whose settings have the stores.
            tokio::time::sleep(AFTER_FAILURE).await;
            let _ = delivery.requeue().await;
            return;
        }
        let performing = self.perform(delivery.job);
        tokio::pin!(performing);
        let performed = tokio::select! {
            performed = &mut performing => performed,
            () = tokio::time::sleep(ANSWERED_WITHIN) => {
                // The job's row tells who is at it, and that this lives.
                if let Err(error) = delivery.ack().await {
                    tracing::debug!(error = %Causes(&error), "an announcement will come again");
                }
                performing.await;
                drop(room);
                return;
            }
        };
        let answered = match performed {
            // Whoever looks after jobs that were given up finds it among the dead letters, too.
            Some(Performed::Buried(_)) => delivery.reject().await,
            // What is to be done later is announced again; what others do is theirs.
            Some(_) => delivery.ack().await,
            None => {
                tokio::time::sleep(AFTER_FAILURE).await;
                delivery.requeue().await
            }
        };
        if let Err(error) = answered {
            tracing::debug!(error = %Causes(&error), "an announcement will come again");
        }
        drop(room);
    }

    /// Makes a copy; `None` if the database does not say which.
    async fn perform(&self, job: JobId) -> Option<Performed> {
        // Each time another: the same job may come twice, and one is not to have the other's.
        let number = self.calls.fetch_add(1, Ordering::Relaxed);
        let holder = format!("{}-{number}", self.name);
        let span = traces::copy::begin(job);
        let performed = self.service.perform(job, &holder, &self.patience);
        match performed.instrument(span.clone()).await {
            Ok((performed, job)) => {
                traces::copy::end(&span, &performed, job.as_ref());
                note(&self.metrics, &performed, job.as_ref());
                Some(performed)
            }
            Err(error) => {
                span.record("otel.status_code", "ERROR");
                tracing::warn!(job, error = %Causes(&error), "a job is unknown");
                None
            }
        }
    }

    /// Room for one more copy; `None` if it is time to stop.
    async fn room(&self, stopped: &watch::Receiver<bool>) -> Option<OwnedSemaphorePermit> {
        let mut stop = stopped.clone();
        tokio::select! {
            room = self.room.clone().acquire_owned() => room.ok(),
            _ = stop.wait_for(|stopped| *stopped) => None,
        }
    }
}
