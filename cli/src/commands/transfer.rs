//! `fileserver transfer`: moves all files of a store to another.

use std::{io::IsTerminal as _, process::ExitCode, time::Duration};

use anyhow::Result;
use clap::Args;
use indicatif::{HumanBytes, HumanCount, ProgressBar, ProgressStyle};
use service::{TransferReport, TransferState};

use super::{Signals, fail};
use crate::{
    open,
    settings::{Settings, quantity},
};

/// Pause between two updates of the progress.
const POLL_INTERVAL: Duration = Duration::from_millis(500);

/// The transfer to start, continue, watch or cancel.
#[derive(Args)]
pub(crate) struct Transfer {
    /// The store to move files from.
    #[arg(long, value_name = "STORE")]
    from: String,
    /// The store to move files to.
    #[arg(long, value_name = "STORE")]
    to: String,
    /// The largest rate, in bytes per second, such as `100MB/s`. Default: no limit.
    #[arg(long, value_name = "RATE", value_parser = quantity::rate)]
    rate: Option<u64>,
    /// Cancel the running transfer between the two stores; files that are not moved yet stay.
    #[arg(long, conflicts_with_all = ["rate", "watch"])]
    cancel: bool,
    /// Only watch the transfer; `fileserver worker` and `serve` processes move the files.
    #[arg(long)]
    watch: bool,
}

#[tokio::main]
pub(crate) async fn run(settings: &Settings, command: &Transfer) -> ExitCode {
    match transfer(settings, command).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => fail(&error),
    }
}

/// Starts or continues the transfer, and waits for its end; returns whether all files were moved.
async fn transfer(settings: &Settings, command: &Transfer) -> Result<bool> {
    let mut settings = settings.clone();
    if std::io::stderr().is_terminal() {
        // The bar shows the progress; only failures are logged.
        "warn".clone_into(&mut settings.log);
    }
    open::log(&settings)?;
    let service = open::existing_service(&settings).await?;
    if command.cancel {
        let report = service
            .cancel_transfer_between(&command.from, &command.to)
            .await?;
        println!("{}", summary(&report));
        service.close().await;
        return Ok(true);
    }
    let started = service.start_transfer(&command.from, &command.to, command.rate);
    let (mut report, is_new) = started.await?;
    let id = report.transfer.id;
    if !is_new {
        eprintln!("continuing the transfer {id}");
    }
    let worker = if command.watch {
        None
    } else {
        let metrics = open::metrics(&service, None);
        Some(open::worker(&settings, &service, &metrics)?.start())
    };
    let bar = bar();
    let mut signals = Signals::new()?;
    while report.transfer.state == TransferState::Running {
        show(&bar, &report);
        tokio::select! {
            () = tokio::time::sleep(POLL_INTERVAL) => {}
            () = signals.next() => break,
        }
        report = service.find_transfer(id).await?;
    }
    bar.finish_and_clear();
    if let Some(worker) = worker {
        let timeout = Duration::from_secs(settings.shutdown_timeout);
        tokio::select! {
            () = worker.stop(timeout) => {}
            () = signals.next() => tracing::warn!("stopped at once"),
        }
    }
    report = service.find_transfer(id).await?;
    println!("{}", summary(&report));
    service.close().await;
    Ok(report.transfer.state == TransferState::Done && report.failed == 0)
}

fn bar() -> ProgressBar {
    let bar = if std::io::stderr().is_terminal() {
        ProgressBar::new(0)
    } else {
        ProgressBar::hidden()
    };
    let template = "{bar:32} {bytes} of {total_bytes} {binary_bytes_per_sec} {msg} {eta} left";
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar
}

fn show(bar: &ProgressBar, report: &TransferReport) {
    let transfer = &report.transfer;
    bar.set_length(transfer.total_bytes.max(transfer.copied_bytes));
    bar.set_position(transfer.copied_bytes);
    bar.set_message(format!(
        "{} of {} files, {} failed",
        HumanCount(transfer.copied_files),
        HumanCount(transfer.total_files.max(transfer.copied_files)),
        HumanCount(report.failed)
    ));
}

fn summary(report: &TransferReport) -> String {
    let transfer = &report.transfer;
    let outcome = match transfer.state {
        TransferState::Running => "interrupted; start it again to continue",
        TransferState::Done if report.failed > 0 => "done, except for the failed files",
        TransferState::Done => "done",
        TransferState::Cancelled => "cancelled",
    };
    format!(
        "{} files of {} from {} to {}, {} failed: {outcome}",
        transfer.copied_files,
        HumanBytes(transfer.copied_bytes),
        transfer.from,
        transfer.to,
        report.failed
    )
}
