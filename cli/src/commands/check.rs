//! `fileserver check`: compares the rows of the database with the bytes in the stores.

use std::{io::IsTerminal as _, process::ExitCode};

use anyhow::{Result, bail};
use clap::Args;
use domain::ErrorChain;
use indicatif::{HumanBytes, ProgressBar, ProgressStyle};
use service::{CheckOptions, CheckProgress, Finding, Summary};

use super::fail;
use crate::{open, settings::Settings};

/// The options of a check.
#[derive(Args)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a flag of the command line"
)]
pub(crate) struct Check {
    /// Read all bytes, and verify their digests.
    #[arg(long)]
    digests: bool,
    /// Print the report as JSON, one object per line; the last one has the totals.
    #[arg(long)]
    json: bool,
    /// Only test whether each store is usable.
    #[arg(long, conflicts_with_all = ["digests", "remove_orphans"])]
    stores: bool,
    /// Remove orphans that are old enough, instead of reporting them.
    #[arg(long)]
    remove_orphans: bool,
}

#[tokio::main]
pub(crate) async fn run(settings: &Settings, command: &Check) -> ExitCode {
    let checked = if command.stores {
        test_stores(settings, command.json).await
    } else {
        check(settings, command)
            .await
            .map(|summary| summary.findings == 0)
    };
    match checked {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => fail(&error),
    }
}

/// Writes an object to each store, reads it back, and removes it; returns whether all stores are usable.
async fn test_stores(settings: &Settings, json: bool) -> Result<bool> {
    let stores = open::stores(settings).await?;
    let mut all_usable = true;
    for store in stores.iter() {
        let name = store.name();
        let error = store.self_test().await.err();
        all_usable &= error.is_none();
        let error = error.map(|error| ErrorChain(&error).to_string());
        if json {
            let line = serde_json::json!({"store": name, "trouble": error});
            println!("{line}");
        } else {
            println!("{name}: {}", error.as_deref().unwrap_or("all is well"));
        }
    }
    Ok(all_usable)
}

async fn check(settings: &Settings, command: &Check) -> Result<Summary> {
    let options = CheckOptions {
        digests: command.digests,
        remove_orphans: command.remove_orphans,
    };
    // The report must not mix with log lines, except for failures.
    let mut settings = settings.clone();
    "warn".clone_into(&mut settings.log);
    settings.no_migrate = true;
    open::log(&settings)?;
    if !settings.data_dir.is_dir() {
        let folder = settings.data_dir.display();
        bail!("the data folder {folder} does not exist");
    }
    let service = open::existing_service(&settings).await?;
    let mut report = Report::new(command.json);
    let summary = service.check(options, &mut report).await?;
    report.end(&summary)?;
    service.close().await;
    Ok(summary)
}

struct Report {
    json: bool,
    bar: ProgressBar,
}

impl Report {
    fn new(json: bool) -> Self {
        let bar = if std::io::stderr().is_terminal() {
            ProgressBar::new(256)
        } else {
            ProgressBar::hidden()
        };
        if let Ok(style) = ProgressStyle::with_template("{bar:32} {percent:>3}% {msg} {eta} left") {
            bar.set_style(style);
        }
        Self { json, bar }
    }

    fn print(&self, line: &str) {
        self.bar.suspend(|| println!("{line}"));
    }

    fn end(&self, summary: &Summary) -> Result<()> {
        self.bar.finish_and_clear();
        let line = if self.json {
            serde_json::to_string(summary)?
        } else {
            format!(
                "{} contents of {}, {} objects, {} entries: {}",
                summary.contents,
                HumanBytes(summary.bytes),
                summary.objects,
                summary.entries,
                match summary.findings {
                    0 => "all is well".to_owned(),
                    1 => "1 finding".to_owned(),
                    findings => format!("{findings} findings"),
                }
            )
        };
        self.print(&line);
        if !self.json && summary.young + summary.removed > 0 {
            let (young, removed) = (summary.young, summary.removed);
            self.print(&format!(
                "{removed} orphans are removed, {young} objects are too young to be orphans"
            ));
        }
        Ok(())
    }
}

impl CheckProgress for Report {
    fn steps(&mut self, done: u64, all: u64, summary: &Summary) {
        self.bar.set_length(all);
        self.bar.set_position(done);
        let message = format!(
            "{} contents, {}",
            summary.contents,
            HumanBytes(summary.bytes)
        );
        self.bar.set_message(message);
    }

    fn found(&mut self, finding: &Finding) {
        let line = if self.json {
            serde_json::to_string(finding).unwrap_or_default()
        } else {
            finding.to_string()
        };
        self.print(&line);
    }
}
