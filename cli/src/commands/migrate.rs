//! `fileserver migrate`: changes the database's schema.

use std::process::ExitCode;

use anyhow::Result;

use super::fail;
use crate::{args::Migration, open, settings::Settings};

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
            for (step, taken) in schema.steps().await? {
                println!("{step}\t{}", if taken { "taken" } else { "missing" });
            }
        }
    }
    schema.close().await;
    Ok(())
}
