//! The composition root: turns settings into a running service.

mod api;
mod database;
mod keys;
mod stores;

use std::{fs, time::Duration};

use anyhow::{Context as _, Result};
use broker::Broker;
use cache::{EntryCache, Options as RedisOptions, Redis};
use service::{Clock, ENTRY_FORMAT, FileService, Keys};
use telemetry::{
    Metrics, logging,
    traces::{self, SpanExportTask},
};
use worker::{Worker, WorkerOptions};

pub(crate) use self::{api::api_options, database::migrations, stores::stores};
use crate::settings::{RedisSettings, Settings, Transfers};

/// Starts the log alone.
pub(crate) fn log(settings: &Settings) -> Result<()> {
    Ok(logging::start(
        &settings.log,
        settings.log_format.into(),
        None,
    )?)
}

/// Starts the log, and the export of traces if the settings name a collector.
pub(crate) fn telemetry(settings: &Settings) -> Result<Option<SpanExportTask>> {
    let options = settings.traces.options()?;
    let (layer, task) = options.map(traces::start).transpose()?.unzip();
    logging::start(&settings.log, settings.log_format.into(), layer)?;
    Ok(task)
}

/// Opens the service: its database with the current schema, its stores and its cache.
pub(crate) async fn service(settings: &Settings) -> Result<FileService> {
    let data = &settings.data_dir;
    fs::create_dir_all(data).with_context(|| data.display().to_string())?;
    let database = database::open(settings).await?;
    let stores = stores(settings).await?;
    let keys = Keys {
        cursor: keys::cursor_key(settings)?,
        links: keys::link_keys(settings)?,
    };
    let entries = entry_cache(&settings.redis).await?;
    let (clock, limits) = (Clock::system(), settings.limits());
    let service = FileService::new(database, stores, clock, keys, limits, entries);
    service.identify_disks(settings.adopt).await?;
    Ok(service)
}

/// Opens a service that was started before: a command that administers it makes no data folder.
pub(crate) async fn existing_service(settings: &Settings) -> Result<FileService> {
    let data = &settings.data_dir;
    anyhow::ensure!(
        data.is_dir(),
        "the data folder {} does not exist; set --data-dir to the one of the service, or start the \
         service first",
        data.display()
    );
    service(settings).await
}

/// Opens the cache of entries, if the settings name a Redis.
async fn entry_cache(settings: &RedisSettings) -> Result<Option<EntryCache>> {
    let Some(url) = &settings.redis_url else {
        return Ok(None);
    };
    let options = RedisOptions {
        url: url.clone(),
        prefix: settings.redis_prefix.clone(),
        timeout: Duration::from_millis(settings.redis_timeout.get().into()),
    };
    let redis = Redis::open(&options).await?;
    let age = Duration::from_secs(settings.cache_age.get().into());
    Ok(Some(EntryCache::new(redis, age, ENTRY_FORMAT)))
}

/// Opens the broker, if the settings name one; it connects when it is first used.
pub(crate) fn broker(settings: &Transfers) -> Result<Option<Broker>> {
    let Some(url) = &settings.transfer_broker else {
        return Ok(None);
    };
    let copies = settings.transfer_copies.get();
    let options = broker::Options {
        prefix: settings.transfer_queue.clone(),
        prefetch: u16::try_from(copies).unwrap_or(u16::MAX),
        ..broker::Options::new(url.clone())
    };
    Broker::new(options)
        .map(Some)
        .context("could not create the client of the broker")
}

/// Creates the process's metrics, with those of its export of traces.
pub(crate) fn metrics(service: &FileService, traces: Option<&SpanExportTask>) -> Metrics {
    Metrics::new(service).with_traces(traces.map(|task| &task.counts))
}

/// Creates a worker, which is not started yet.
pub(crate) fn worker(
    settings: &Settings,
    service: &FileService,
    metrics: &Metrics,
) -> Result<Worker> {
    let transfers = &settings.transfers;
    let options = WorkerOptions {
        concurrent_copies: transfers.transfer_copies.get(),
        backoff: transfers.backoff(),
    };
    let broker = broker(transfers)?;
    let (service, metrics) = (service.clone(), metrics.copies.clone());
    Ok(Worker::new(&options, service, broker, metrics)?)
}
