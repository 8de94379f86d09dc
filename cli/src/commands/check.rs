//! `fileserver check`: compares the database's rows and the store's bytes.

use std::{io::IsTerminal as _, process::ExitCode};

use anyhow::{Result, bail};
use clap::Args;
use domain::ErrorChain;
use indicatif::{HumanBytes, ProgressBar, ProgressStyle};
use service::{CheckOptions, CheckProgress, Finding, Summary};

use super::fail;
use crate::{open, settings::Settings};

/// Compare the database's rows and the stores' bytes.
///
/// Exits with 0 if they fit, with 1 if they do not, with 2 if that cannot be told.
#[derive(Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag")]
pub(crate) struct Check {
    /// Read all bytes, and compute their digests.
    #[arg(long)]
    digests: bool,
    /// Report as JSON, one object a line, of which the last has the sums.
    #[arg(long)]
    json: bool,
    /// Only try out whether each store can be used.
    #[arg(long, conflicts_with_all = ["digests", "remove_orphans"])]
    stores: bool,
    /// Remove what was left behind, if it is old enough, instead of telling of it.
    #[arg(long)]
    remove_orphans: bool,
}

#[tokio::main]
pub(crate) async fn run(settings: &Settings, wanted: &Check) -> ExitCode {
    let checked = if wanted.stores {
        try_out(settings, wanted.json).await
    } else {
        check(settings, wanted)
            .await
            .map(|summary| summary.findings == 0)
    };
    match checked {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => fail(&error),
    }
}

/// Writes to each store, reads it back, and removes it; gives whether that can be done with all.
async fn try_out(settings: &Settings, json: bool) -> Result<bool> {
    let stores = open::stores(settings).await?;
    let mut is_well = true;
    for store in stores.iter() {
        let name = store.name();
        let trouble = store.try_out().await.err();
        is_well &= trouble.is_none();
        let trouble = trouble.map(|error| ErrorChain(&error).to_string());
        if json {
            let line = serde_json::json!({"store": name, "trouble": trouble});
            println!("{line}");
        } else {
            println!("{name}: {}", trouble.as_deref().unwrap_or("all is well"));
        }
    }
    Ok(is_well)
}

async fn check(settings: &Settings, wanted: &Check) -> Result<Summary> {
    let options = CheckOptions {
        digests: wanted.digests,
        remove_orphans: wanted.remove_orphans,
    };
    // A report is to be alone on the terminal, but for what went wrong.
    let mut settings = settings.clone();
    "warn".clone_into(&mut settings.log);
    settings.no_migrate = true;
    open::log(&settings)?;
    if !settings.data_dir.is_dir() {
        let folder = settings.data_dir.display();
        bail!("there is no data folder {folder}");
    }
    let service = open::service(&settings).await?;
    let mut report = Report::new(wanted.json);
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
                "{removed} objects that were left behind are removed, {young} are too young to tell"
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
