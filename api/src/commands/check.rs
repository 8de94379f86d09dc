//! `fileserver check`: compares the database's rows and the store's bytes.

use std::{io::IsTerminal as _, process::ExitCode};

use catalog::{CheckOptions, CheckProgress, Finding, Summary};
use indicatif::{HumanBytes, ProgressBar, ProgressStyle};

use super::{Failure, fail, log, open_catalog};
use crate::settings::Settings;

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn run(settings: &Settings, digests: bool, json: bool) -> ExitCode {
    match check(settings, CheckOptions { digests }, json).await {
        Ok(summary) if summary.findings == 0 => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(failure) => fail(&failure),
    }
}

async fn check(settings: &Settings, options: CheckOptions, json: bool) -> Result<Summary, Failure> {
    // A report is to be alone on the terminal, but for what went wrong.
    let mut settings = settings.clone();
    "warn".clone_into(&mut settings.log);
    settings.no_migrate = true;
    log(&settings)?;
    if !settings.data_dir.is_dir() {
        let folder = settings.data_dir.display();
        return Err(Failure(format!("there is no data folder {folder}")));
    }
    let catalog = open_catalog(&settings).await?;
    let mut report = Report::new(json);
    let summary = catalog.check(options, &mut report).await?;
    report.end(&summary)?;
    catalog.close().await;
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

    fn end(&self, summary: &Summary) -> Result<(), Failure> {
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
        Ok(())
    }
}

impl CheckProgress for Report {
    fn shards(&mut self, done: u64, summary: &Summary) {
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
