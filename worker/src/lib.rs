//! Background work: copies to other stores, purging and sweeping.
//!
//! `serve` runs a worker unless the settings disable it, and `fileserver worker` runs one alone; any
//! number of processes may run one. Work that must happen once in the whole cluster is done by the
//! holder of its lease. The database stores the jobs. With a broker, one process publishes the jobs
//! that are due, and the process that receives a message makes the copy. Without one, every worker
//! polls the database for jobs that are due.

mod consume;
mod housekeeping;
mod poll;
mod publish;
mod run;
mod trace;

use std::{
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use broker::Broker;
use domain::{Backoff, ErrorChain};
use service::{FileService, LeaseName};
use telemetry::metrics::CopyMetrics;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    task::JoinSet,
};

pub use housekeeping::sweep_disks;

/// Pause between two queries for due jobs or for transfers to plan.
const POLL_INTERVAL: Duration = Duration::from_millis(500);

/// Pause after the broker or the database failed.
const RETRY_DELAY: Duration = Duration::from_secs(2);

/// Number of jobs that are read or published together.
const BATCH_SIZE: u64 = 500;

/// The options of a worker.
#[derive(Debug, Clone)]
pub struct WorkerOptions {
    /// Number of copies that this process makes at a time.
    pub concurrent_copies: u32,
    /// Delays between the attempts of a copy, and their number.
    pub backoff: Backoff,
}

/// The worker could not be created: the system has no random numbers for its name.
#[derive(Debug, thiserror::Error)]
#[error("could not name the worker")]
pub struct WorkerError(#[from] getrandom::Error);

/// Makes copies, plans transfers, purges and sweeps.
#[derive(Clone)]
pub struct Worker {
    service: FileService,
    broker: Option<Broker>,
    /// Distinguishes this process from others, as the holder of jobs and leases.
    name: String,
    backoff: Backoff,
    /// One permit for each copy that may be made at the same time.
    permits: Arc<Semaphore>,
    concurrent_copies: u32,
    /// Number of copies that were started.
    runs: Arc<AtomicU64>,
    metrics: CopyMetrics,
}

/// A running worker.
pub struct WorkerHandle {
    tasks: JoinSet<()>,
    worker: Worker,
    stop: watch::Sender<bool>,
}

impl Worker {
    /// Creates a worker; [`start`](Self::start) starts it.
    ///
    /// # Errors
    ///
    /// If the system has no random numbers.
    pub fn new(
        options: &WorkerOptions,
        service: FileService,
        broker: Option<Broker>,
        metrics: CopyMetrics,
    ) -> Result<Self, WorkerError> {
        let mut random = [0; 8];
        getrandom::fill(&mut random)?;
        Ok(Self {
            service,
            broker,
            name: format!("{}-{:016x}", std::process::id(), u64::from_ne_bytes(random)),
            backoff: options.backoff,
            permits: Arc::new(Semaphore::new(options.concurrent_copies as usize)),
            concurrent_copies: options.concurrent_copies,
            runs: Arc::default(),
            metrics,
        })
    }

    /// Starts the worker's tasks on the current runtime.
    #[must_use]
    pub fn start(self) -> WorkerHandle {
        let (stop, stopped) = watch::channel(false);
        let mut tasks = JoinSet::new();
        tasks.spawn(
            self.service
                .lease(LeaseName::Housekeeping)
                .clone()
                .maintain(),
        );
        tasks.spawn(housekeeping::cluster_loop(self.service.clone()));
        if self.service.stores().has_disks() {
            tasks.spawn(housekeeping::disk_loop(self.service.clone()));
        }
        if let Some(time) = self.service.limits().scrub_time {
            tasks.spawn(self.service.lease(LeaseName::Scrubbing).clone().maintain());
            tasks.spawn(housekeeping::scrub_loop(self.service.clone(), time));
        }
        tasks.spawn(self.clone().plan_loop());
        match self.broker.clone() {
            Some(broker) => {
                tasks.spawn(self.service.lease(LeaseName::Announcing).clone().maintain());
                tasks.spawn(self.clone().publish_loop(broker.clone(), stopped.clone()));
                tasks.spawn(self.clone().consume_loop(broker, stopped));
            }
            None => {
                tasks.spawn(self.clone().poll_loop(stopped));
            }
        }
        WorkerHandle {
            tasks,
            worker: self,
            stop,
        }
    }

    /// Creates the jobs of transfers ahead of the copies, while this process holds the lease.
    async fn plan_loop(self) {
        let lease = self.service.lease(LeaseName::Housekeeping);
        loop {
            lease.acquired().await;
            lease.while_held(self.plan()).await;
        }
    }

    async fn plan(&self) {
        loop {
            match self.service.plan_transfers(&self.name).await {
                Ok(true) => continue,
                Ok(false) => {}
                Err(error) => {
                    tracing::warn!(error = %ErrorChain(&error), "could not plan transfers, retrying");
                }
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }

    /// Waits until another copy may start; `None` at shutdown.
    async fn permit(&self, stopped: &watch::Receiver<bool>) -> Option<OwnedSemaphorePermit> {
        let mut stop = stopped.clone();
        tokio::select! {
            permit = self.permits.clone().acquire_owned() => permit.ok(),
            _ = stop.wait_for(|stopped| *stopped) => None,
        }
    }
}

impl WorkerHandle {
    /// Stops the worker; copies that are running have `timeout` to finish.
    ///
    /// Other workers make the copies that did not finish.
    pub async fn stop(mut self, timeout: Duration) {
        let _ = self.stop.send(true);
        // Another process can take up these tasks at any point.
        self.tasks.abort_all();
        let finished = async {
            while self.tasks.join_next().await.is_some() {}
            for name in LeaseName::ALL {
                self.worker.service.lease(name).release().await;
            }
            // Every running copy holds a permit.
            let all = self.worker.concurrent_copies;
            let _ = self.worker.permits.acquire_many(all).await;
        };
        if tokio::time::timeout(timeout, finished).await.is_err() {
            tracing::warn!("stopped before all copies finished; other workers will make them");
        }
        if let Some(broker) = self.worker.broker {
            broker.close().await;
        }
    }
}

/// Sleeps, or returns early at shutdown.
async fn pause(stopped: &watch::Receiver<bool>, time: Duration) {
    let mut stopped = stopped.clone();
    // A dropped sender counts as a stop signal, too.
    let _ = tokio::time::timeout(time, stopped.wait_for(|stopped| *stopped)).await;
}
