//! `fileserver adopt`: hands the files of one owner over to another.

use std::process::ExitCode;

use anyhow::{Result, ensure};
use clap::Args;
use domain::Owner;

use super::fail;
use crate::{open, settings::Settings};

/// Whose files go to whom.
#[derive(Args)]
pub(crate) struct Adopt {
    /// The owner who gets the files.
    owner: Owner,
    /// The owner who has them; by default the one of all files from before authentication.
    #[arg(long, default_value_t = Owner::anonymous())]
    from: Owner,
    /// Only tell how many files there are.
    #[arg(long)]
    dry_run: bool,
}

#[actix_web::main]
pub(crate) async fn run(settings: &Settings, command: &Adopt) -> ExitCode {
    match adopt(settings, command).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

async fn adopt(settings: &Settings, command: &Adopt) -> Result<()> {
    let (from, to) = (&command.from, &command.owner);
    ensure!(from != to, "the files of `{to}` are already theirs");
    let service = open::existing_service(settings).await?;
    let counts = service.hand_over(from, to, command.dry_run).await;
    service.close().await;
    let counts = counts?;
    let become_theirs = if command.dry_run { "would go" } else { "went" };
    println!(
        "{} files of `{from}` {become_theirs} to `{to}`",
        counts.moved
    );
    if counts.left > 0 {
        println!(
            "{} files stay: `{to}` has their contents already",
            counts.left
        );
    }
    Ok(())
}
