//! Opening the database, with its schema.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use domain::ErrorChain;
use persistence::{Database, Schema};
use tokio::time::sleep;

use crate::settings::Settings;

/// Time that a failover to another database server may take before the start fails.
const FAILOVER_TIMEOUT: Duration = Duration::from_secs(30);

/// Pause between two attempts to open the database during a failover.
const RETRY_INTERVAL: Duration = Duration::from_millis(500);

/// Opens the database's schema, to apply or revert migrations.
pub(crate) async fn migrations(settings: &Settings) -> Result<Schema> {
    let place = || format!("the database {}", settings.database_place());
    Database::schema(&settings.database())
        .await
        .with_context(place)
}

/// Opens the database, and applies missing migrations if the settings allow it.
///
/// With several servers it waits for a failover that is in progress.
pub(super) async fn open(settings: &Settings) -> Result<Database> {
    let has_replicas = !settings.database().replicas.is_empty();
    let began = Instant::now();
    let missing = loop {
        match Box::pin(migrate_and_connect(settings)).await {
            Ok((missing, database)) if missing.is_empty() => return Ok(database),
            Ok((missing, _)) => break missing,
            Err(error @ (persistence::Error::Unavailable(_) | persistence::Error::TimedOut))
                if has_replicas && began.elapsed() < FAILOVER_TIMEOUT =>
            {
                tracing::warn!(error = %ErrorChain(&error), "waiting for the database");
                sleep(RETRY_INTERVAL).await;
            }
            Err(error) => {
                let place = settings.database_place();
                return Err(error).with_context(|| format!("the database {place}"));
            }
        }
    };
    bail!(
        "the database's schema lacks {}; run `fileserver migrate up`",
        missing.join(", ")
    );
}

/// Applies migrations if the settings allow it, and returns those that are still missing.
async fn migrate_and_connect(settings: &Settings) -> persistence::Result<(Vec<String>, Database)> {
    let schema = Database::schema(&settings.database()).await?;
    if !settings.no_migrate {
        schema.up().await?;
    }
    let steps = schema.steps().await?.into_iter();
    let missing = steps.filter_map(|(step, applied)| (!applied).then_some(step));
    let missing = missing.collect();
    schema.close().await;
    Ok((missing, Database::connect(&settings.database()).await?))
}
