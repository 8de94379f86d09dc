//! `fileserver worker`: runs background work, or manages dead jobs.

use std::{io, net::SocketAddr, process::ExitCode, sync::Arc, time::Duration};

use anyhow::{Result, bail};
use clap::{Args, Subcommand};
use service::JobId;

use super::{Signals, Table, fail};
use crate::{open, settings::Settings};

/// Number of jobs that are read together.
const BATCH_SIZE: u64 = 500;

/// The largest number of dead letters that are listed.
const MAX_DEAD_LETTERS: u32 = 1_000;

/// The options of a worker, or an operation on dead jobs.
#[derive(Args)]
pub(crate) struct WorkerCommand {
    /// The address of the worker's metrics, at `/metrics`, without authentication. Default: none.
    #[arg(long, env = "FILESERVER_WORKER_LISTEN", value_name = "ADDRESS")]
    worker_listen: Option<SocketAddr>,
    #[command(subcommand)]
    action: Option<WorkerAction>,
}

/// The operations on dead jobs.
#[derive(Subcommand)]
enum WorkerAction {
    /// List dead jobs, whose copies failed too often: job, SHA-1, from, to, attempts, error; and the
    /// broker's dead letters that are no jobs.
    Dead,
    /// Requeue dead jobs, so that their copies are tried again.
    Requeue {
        /// Requeue this job only.
        job: Option<JobId>,
    },
    /// Discard the broker's dead letters that are no jobs.
    Discard,
}

#[actix_web::main]
pub(crate) async fn run(settings: &Settings, command: &WorkerCommand) -> ExitCode {
    let result = match &command.action {
        None => run_worker(settings, command.worker_listen).await,
        Some(action) => run_action(settings, action).await,
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

async fn run_worker(settings: &Settings, listen: Option<SocketAddr>) -> Result<()> {
    let traces = open::telemetry(settings)?;
    let service = open::service(settings).await?;
    worker::sweep_disks(&service).await;
    let metrics = Arc::new(open::metrics(&service, traces.as_ref()));
    let worker = open::worker(settings, &service, &metrics)?;
    let mut signals = Signals::new()?;
    if let Some(listen) = listen {
        api::serve_metrics(listen, metrics)?;
    }
    let worker = worker.start();
    tracing::info!("worker started");
    signals.next().await;
    tracing::info!("stopping");
    tokio::select! {
        () = worker.stop(Duration::from_secs(settings.shutdown_timeout)) => {}
        () = signals.next() => tracing::warn!("stopped at once"),
    }
    service.close().await;
    if let Some(traces) = traces {
        traces.stop().await;
    }
    Ok(())
}

async fn run_action(settings: &Settings, action: &WorkerAction) -> Result<()> {
    let service = open::existing_service(settings).await?;
    let broker = open::broker(&settings.transfers)?;
    let mut table = Table::new(io::stdout().lock());
    match action {
        WorkerAction::Dead => {
            let mut after = None;
            loop {
                let dead = service.list_dead_jobs(after, BATCH_SIZE).await?;
                let Some(last) = dead.last() else {
                    break;
                };
                after = Some(last.id);
                for job in &dead {
                    let error = job.error.as_deref().unwrap_or_default();
                    let (from, to) = (&job.from, &job.to);
                    table.row(&[&job.id, &job.sha1, from, to, &job.attempts, &error])?;
                }
            }
            if let Some(broker) = &broker {
                for letter in broker.dead_letters(MAX_DEAD_LETTERS).await? {
                    // Jobs are in the database, and listed above.
                    if !is_job(&letter.body) {
                        table.row(&[&"-", &"-", &"-", &"-", &letter.count, &letter.body])?;
                    }
                }
            }
        }
        WorkerAction::Requeue { job } => {
            let requeued = service.requeue_jobs(*job).await?;
            if let (None, Some(broker)) = (job, &broker) {
                broker.requeue_dead_letters().await?;
            }
            table.line(&format_args!("{requeued} jobs are tried again"))?;
        }
        WorkerAction::Discard => {
            let Some(broker) = &broker else {
                bail!("the settings have no broker");
            };
            let dropped = broker.purge_unreadable().await?;
            table.line(&format_args!("{dropped} dead letters are discarded"))?;
        }
    }
    if let Some(broker) = broker {
        broker.close().await;
    }
    service.close().await;
    Ok(())
}

/// Returns whether a message is that of a job.
fn is_job(body: &str) -> bool {
    let body: serde_json::Value = serde_json::from_str(body).unwrap_or_default();
    body["job"].is_i64()
}
