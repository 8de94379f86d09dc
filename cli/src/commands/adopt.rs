//! `fileserver adopt`: hands the files of one owner to another.

use std::process::ExitCode;

use anyhow::{Result, ensure};
use clap::Args;
use domain::Owner;
use service::{AdoptedFile, AdoptionOutcome, FileService};

use super::{fail, terminal::sanitize_for_terminal};
use crate::{open, settings::Settings};

/// The owners, and what to do.
#[derive(Args)]
pub(crate) struct Adopt {
    /// The owner who gets the files.
    owner: Owner,

    /// The owner who has them.
    #[arg(long, value_name = "OWNER", default_value = "anonymous")]
    from: Owner,

    /// Print what would happen, and change nothing.
    #[arg(long)]
    dry_run: bool,
}

/// What happened to the files.
#[derive(Default)]
struct Counts {
    files: u64,
    bytes: u64,
    existing: u64,
}

#[actix_web::main]
pub(crate) async fn run(settings: &Settings, command: &Adopt) -> ExitCode {
    match open_and_run(settings, command).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

async fn open_and_run(settings: &Settings, command: &Adopt) -> Result<()> {
    ensure!(
        command.owner != command.from,
        "`{}` has these files already",
        command.owner
    );
    let service = open::existing_service(settings).await?;
    let result = adopt_all(&service, command).await;
    service.close().await;
    result
}

async fn adopt_all(service: &FileService, command: &Adopt) -> Result<()> {
    let Adopt {
        owner,
        from,
        dry_run,
    } = command;
    let mut counts = Counts::default();
    let mut after = None;
    loop {
        let adopted = service.adopt(from, owner, after, *dry_run).await?;
        let Some(last) = adopted.last() else {
            break;
        };
        after = Some(last.sha1);
        for file in &adopted {
            counts.add(file, owner);
        }
    }
    let Counts {
        files,
        bytes,
        existing,
    } = counts;
    let handed = if *dry_run { "would hand" } else { "handed" };
    println!("{handed} {files} files ({bytes} bytes) of {from} to {owner}");
    if existing > 0 {
        println!("{existing} files were there already, and keep the names that {owner} gave them");
    }
    Ok(())
}

impl Counts {
    fn add(&mut self, file: &AdoptedFile, owner: &Owner) {
        let name = sanitize_for_terminal(file.file_name.as_str());
        match &file.outcome {
            AdoptionOutcome::Moved => {}
            AdoptionOutcome::Restored => {
                println!(
                    "{}  {name}: {owner} had deleted it, and has it again",
                    file.sha1
                );
            }
            AdoptionOutcome::Existing(known) => {
                let known = sanitize_for_terminal(known.as_str());
                println!("{}  {name}: {owner} has it already, as {known}", file.sha1);
                self.existing += 1;
                return;
            }
        }
        self.files += 1;
        self.bytes += file.size;
    }
}
