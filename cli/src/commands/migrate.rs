//! `fileserver migrate`: applies, reverts and lists the migrations of the database schema.

use std::process::ExitCode;

use anyhow::Result;
use clap::Subcommand;

use super::fail;
use crate::{open, settings::Settings};

/// The direction of a migration.
#[derive(Subcommand)]
pub(crate) enum Migration {
    /// Apply all missing migrations.
    Up,
    /// Revert the last migrations; the data in their tables is lost.
    Down {
        /// The number of migrations to revert.
        #[arg(long, default_value = "1")]
        steps: u32,
    },
    /// List all migrations, and whether they are applied: `taken` or `missing`.
    Status,
}

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn run(settings: &Settings, direction: Migration) -> ExitCode {
    match migrate(settings, direction).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

async fn migrate(settings: &Settings, direction: Migration) -> Result<()> {
    open::log(settings)?;
    std::fs::create_dir_all(&settings.data_dir)?;
    let schema = open::migrations(settings).await?;
    match direction {
        Migration::Up => schema.up().await?,
        Migration::Down { steps } => schema.down(steps).await?,
        Migration::Status => {
            for (step, applied) in schema.steps().await? {
                println!("{step}\t{}", if applied { "taken" } else { "missing" });
            }
        }
    }
    schema.close().await;
    Ok(())
}
