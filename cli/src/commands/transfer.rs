//! `fileserver transfer`: moves everything that a store has to another.

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

/// How often to look how far it is.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// What is to be moved.
#[derive(Args)]
pub(crate) struct Transfer {
    /// The store that is emptied.
    #[arg(long, value_name = "STORE")]
    from: String,
    /// The store that gets everything.
    #[arg(long, value_name = "STORE")]
    to: String,
    /// How many bytes a second to move at most, such as `100MB/s`; unless given, as many as go.
    #[arg(long, value_name = "RATE", value_parser = quantity::rate)]
    rate: Option<u64>,
    /// End the transfer that is running between the two: what it has not moved stays where it is.
    #[arg(long, conflicts_with_all = ["rate", "watch"])]
    cancel: bool,
    /// Leave the work to `fileserver worker` and `serve` processes, and watch them.
    #[arg(long)]
    watch: bool,
}

#[tokio::main]
pub(crate) async fn run(settings: &Settings, wanted: &Transfer) -> ExitCode {
    match transfer(settings, wanted).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => fail(&error),
    }
}

/// Begins the transfer, or goes on with it, and ends when it has; gives whether everything was
/// moved.
async fn transfer(settings: &Settings, wanted: &Transfer) -> Result<bool> {
    let mut settings = settings.clone();
    if std::io::stderr().is_terminal() {
        // What is done well is shown by the bar.
        "warn".clone_into(&mut settings.log);
    }
    open::log(&settings)?;
    let service = open::service(&settings).await?;
    if wanted.cancel {
        let report = service
            .cancel_transfer_between(&wanted.from, &wanted.to)
            .await?;
        println!("{}", summary(&report));
        service.close().await;
        return Ok(true);
    }
    let begun = service.start_transfer(&wanted.from, &wanted.to, wanted.rate);
    let (mut report, is_new) = begun.await?;
    let id = report.transfer.id;
    if !is_new {
        eprintln!("going on with the transfer {id}");
    }
    let working = if wanted.watch {
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
            () = tokio::time::sleep(LOOK_EVERY) => {}
            () = signals.next() => break,
        }
        report = service.find_transfer(id).await?;
    }
    bar.finish_and_clear();
    if let Some(working) = working {
        let patience = Duration::from_secs(settings.shutdown_timeout);
        tokio::select! {
            () = working.stop(patience) => {}
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
    let how = match transfer.state {
        TransferState::Running => "broken off, and can be gone on with",
        TransferState::Done if report.failed > 0 => "done, but for what failed",
        TransferState::Done => "done",
        TransferState::Cancelled => "cancelled",
    };
    format!(
        "{} files of {} from {} to {}, {} failed: {how}",
        transfer.copied_files,
        HumanBytes(transfer.copied_bytes),
        transfer.from,
        transfer.to,
        report.failed
    )
}
