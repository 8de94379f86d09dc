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
    /// Revert the last migrations.
    ///
    /// It is refused while another process uses the database, and if rows would be lost.
    Down {
        /// The number of migrations to revert.
        #[arg(long, default_value = "1")]
        steps: u32,
        /// Revert them nevertheless; the rows in their tables are lost.
        #[arg(long)]
        lose_data: bool,
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
    if matches!(direction, Migration::Up) {
        std::fs::create_dir_all(&settings.data_dir)?;
    }
    let schema = open::migrations(settings).await?;
    match direction {
        Migration::Up => schema.up().await?,
        Migration::Down { steps, lose_data } => {
            if !lose_data {
                refuse_loss(&schema.objections_to_down(steps).await?)?;
            }
            schema.down(steps).await?;
        }
        Migration::Status => {
            for (step, applied) in schema.steps().await? {
                println!("{step}\t{}", if applied { "taken" } else { "missing" });
            }
        }
    }
    schema.close().await;
    Ok(())
}

/// Refuses to revert migrations while there are objections.
fn refuse_loss(objections: &[String]) -> Result<()> {
    anyhow::ensure!(
        objections.is_empty(),
        "{}; stop all processes, and use --lose-data to revert nevertheless",
        objections.join(", and ")
    );
    Ok(())
}
