//! What is done for no request: copies to other stores, and keeping house.
//!
//! It runs within `serve`, unless the settings say otherwise, and in `fileserver worker`, in as many
//! processes as there are. What is to be done once in the whole cluster is done by whoever holds its
//! lease. The database has the jobs. With a broker, one process announces there which are due, and
//! whichever gets the announcement makes the copy; without one, every process looks for those that
//! are due.

mod copying;
mod housekeeping;

use std::{
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use broker::Broker;
use domain::Backoff;
use service::{Duty, FileService, Performed};
use tokio::{
    sync::{Semaphore, watch},
    task::JoinSet,
};

use crate::{metrics::CopyMetrics, problem::Causes, settings::Settings};

pub(crate) use housekeeping::sweep_disks;
use housekeeping::{keep_disks, keep_house};

/// How often to look for something to do.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// What does the work.
#[derive(Clone)]
pub(crate) struct Worker {
    service: FileService,
    broker: Option<Broker>,
    /// What tells this process from others.
    name: String,
    patience: Backoff,
    /// Room for as many copies as are made at a time.
    room: Arc<Semaphore>,
    copies: u32,
    /// How many copies were begun.
    calls: Arc<AtomicU64>,
    metrics: CopyMetrics,
}

/// The work that goes on beside the service.
pub(crate) struct Working {
    tasks: JoinSet<()>,
    worker: Worker,
    stop: watch::Sender<bool>,
}

impl Worker {
    /// A worker, which does not work yet.
    ///
    /// # Errors
    ///
    /// When the broker's URL is none, or there is no randomness.
    pub(crate) fn new(
        settings: &Settings,
        service: FileService,
        metrics: CopyMetrics,
    ) -> Result<Self, String> {
        let mut random = [0; 8];
        getrandom::fill(&mut random).map_err(|error| error.to_string())?;
        let copies = settings.transfers.transfer_copies.get();
        Ok(Self {
            service,
            broker: open_broker(settings)?,
            name: format!("{}-{:016x}", std::process::id(), u64::from_ne_bytes(random)),
            patience: settings.transfers.patience(),
            room: Arc::new(Semaphore::new(copies as usize)),
            copies,
            calls: Arc::default(),
            metrics,
        })
    }

    /// Begins to work.
    pub(crate) fn start(self) -> Working {
        let (stop, stopped) = watch::channel(false);
        let mut tasks = JoinSet::new();
        tasks.spawn(self.service.lease(Duty::Housekeeping).clone().keep());
        tasks.spawn(keep_house(self.service.clone()));
        if self.service.stores().has_disks() {
            tasks.spawn(keep_disks(self.service.clone()));
        }
        tasks.spawn(self.clone().keep_planning());
        match self.broker.clone() {
            Some(broker) => {
                tasks.spawn(self.service.lease(Duty::Announcing).clone().keep());
                tasks.spawn(
                    self.clone()
                        .keep_announcing(broker.clone(), stopped.clone()),
                );
                tasks.spawn(self.clone().keep_listening(broker, stopped));
            }
            None => {
                tasks.spawn(self.clone().keep_looking(stopped));
            }
        }
        Working {
            tasks,
            worker: self,
            stop,
        }
    }

    /// Makes jobs of transfers, ahead of those who work at them, whenever it is this process's turn.
    async fn keep_planning(self) {
        let lease = self.service.lease(Duty::Housekeeping);
        loop {
            lease.held().await;
            lease.while_held(self.plan()).await;
        }
    }

    async fn plan(&self) {
        loop {
            match self.service.plan_transfers(&self.name).await {
                Ok(true) => continue,
                Ok(false) => {}
                Err(error) => {
                    tracing::warn!(error = %Causes(&error), "transfers cannot be planned");
                }
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

impl Working {
    /// Ends it: copies that are being made have some time to be finished.
    pub(crate) async fn stop(mut self, patience: Duration) {
        let _ = self.stop.send(true);
        // Whatever these are at can be taken up by others at any time.
        self.tasks.abort_all();
        let ended = async {
            while self.tasks.join_next().await.is_some() {}
            for duty in Duty::ALL {
                self.worker.service.lease(duty).give_up().await;
            }
            // Whoever makes a copy holds some room.
            let _ = self.worker.room.acquire_many(self.worker.copies).await;
        };
        if tokio::time::timeout(patience, ended).await.is_err() {
            tracing::warn!("copies were broken off, and are made by others");
        }
        if let Some(broker) = self.worker.broker {
            broker.close().await;
        }
    }
}

/// The broker that the settings name, if they name one; it is connected to when it is needed.
///
/// # Errors
///
/// When its URL is none.
pub(crate) fn open_broker(settings: &Settings) -> Result<Option<Broker>, String> {
    let Some(url) = &settings.transfers.transfer_broker else {
        return Ok(None);
    };
    let copies = settings.transfers.transfer_copies.get();
    let options = broker::Options {
        prefix: settings.transfers.transfer_queue.clone(),
        prefetch: u16::try_from(copies).unwrap_or(u16::MAX),
        ..broker::Options::new(url.clone())
    };
    Broker::new(options)
        .map(Some)
        .map_err(|error| format!("the broker: {}", Causes(&error)))
}

/// Waits, unless it is time to stop.
async fn pause(stopped: &watch::Receiver<bool>, time: Duration) {
    let mut stopped = stopped.clone();
    // Whoever could say so being gone is as good as saying so.
    let _ = tokio::time::timeout(time, stopped.wait_for(|stopped| *stopped)).await;
}

/// Counts what came of a job, and tells of it.
fn note(metrics: &CopyMetrics, performed: &Performed, job: Option<&service::Job>) {
    if let Some(job) = job {
        metrics.performed(job, performed);
        if let Performed::Copied(bytes) = performed {
            tracing::info!(content = %job.sha1, from = job.from, to = job.to, bytes, "copied");
        }
    }
}
