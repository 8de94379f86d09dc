//! `fileserver worker`: does what is not done for a request.

use std::{io, net::SocketAddr, process::ExitCode, sync::Arc, time::Duration};

use anyhow::{Result, bail};
use clap::{Args, Subcommand};
use service::JobId;

use super::{Signals, Table, fail};
use crate::{open, settings::Settings};

/// How many jobs are read together.
const BATCH: u64 = 500;

/// How many dead letters are shown at most.
const LETTERS: u32 = 1_000;

/// How the worker runs, or what else is to be done about jobs.
#[derive(Args)]
pub(crate) struct WorkerCommand {
    /// An address to give the worker's numbers on, at `/metrics`, to whoever can reach it.
    #[arg(long, env = "FILESERVER_WORKER_LISTEN", value_name = "ADDRESS")]
    worker_listen: Option<SocketAddr>,
    #[command(subcommand)]
    action: Option<WorkerAction>,
}

/// What is to be done about jobs.
#[derive(Subcommand)]
enum WorkerAction {
    /// List the copies that failed too often: job, SHA-1, from, to, attempts, error; and what is
    /// among the broker's dead letters that is no job.
    Dead,
    /// Let copies be tried again that failed too often.
    Requeue {
        /// This job only.
        job: Option<JobId>,
    },
    /// Drop the broker's dead letters that are no jobs.
    Discard,
}

#[actix_web::main]
pub(crate) async fn run(settings: &Settings, command: &WorkerCommand) -> ExitCode {
    let done = match &command.action {
        None => work(settings, command.worker_listen).await,
        Some(action) => act(settings, action).await,
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

async fn work(settings: &Settings, listen: Option<SocketAddr>) -> Result<()> {
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
    tracing::info!("working");
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

async fn act(settings: &Settings, action: &WorkerAction) -> Result<()> {
    let service = open::service(settings).await?;
    let broker = open::broker(&settings.transfers)?;
    let mut table = Table::new(io::stdout().lock());
    match action {
        WorkerAction::Dead => {
            let mut after = None;
            loop {
                let dead = service.list_dead_jobs(after, BATCH).await?;
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
                for letter in broker.dead_letters(LETTERS).await? {
                    // Jobs are in the database, and told above.
                    if !is_job(&letter.body) {
                        table.row(&[&"-", &"-", &"-", &"-", &letter.count, &letter.body])?;
                    }
                }
            }
        }
        WorkerAction::Requeue { job } => {
            let revived = service.requeue_jobs(*job).await?;
            if let (None, Some(broker)) = (job, &broker) {
                broker.requeue_dead_letters().await?;
            }
            table.line(&format_args!("{revived} jobs are tried again"))?;
        }
        WorkerAction::Discard => {
            let Some(broker) = &broker else {
                bail!("the settings have no broker");
            };
            let dropped = broker.purge_unreadable().await?;
            table.line(&format_args!("{dropped} letters are gone"))?;
        }
    }
    if let Some(broker) = broker {
        broker.close().await;
    }
    service.close().await;
    Ok(())
}

/// Whether a message is one of those that announce jobs.
fn is_job(body: &str) -> bool {
    let body: serde_json::Value = serde_json::from_str(body).unwrap_or_default();
    body["job"].is_i64()
}
