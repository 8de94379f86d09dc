//! The stores that the settings name.

use std::{collections::BTreeMap, path::Path};

use anyhow::{Context as _, Result, bail};
use api::DISK;
use service::{Policy, Stores};
use storage::{Bucket, Disk, Memory, Store};

use crate::settings::{PolicyKind, Settings, StoreConfig, Transfers};

/// Opens all stores, and selects the one that receives uploads.
pub(crate) async fn stores(settings: &Settings) -> Result<Stores> {
    let (transfers, data) = (&settings.transfers, settings.data_dir.as_path());
    let memory = settings.memory()?;
    let mut all = Vec::new();
    let mut locations = BTreeMap::new();
    for name in settings.stores.names() {
        let config = settings.stores.config(name)?;
        // The objects of one of two equal stores would look like orphans of the other.
        if let Some(other) = locations.insert(config.location(data), name) {
            bail!("the stores `{other}` and `{name}` have the same location");
        }
        all.push(open(name, config, settings, &memory).await?);
    }
    let is_named = all.iter().any(|store| store.name() == DISK);
    // Uploads from before other stores were configured may still be there.
    if !is_named && (transfers.primary == DISK || data.join("objects").is_dir()) {
        all.push(open_disk(DISK, data, transfers.disk_reserve, &memory).await?);
    }
    let primary = find(&all, &transfers.primary)?;
    let policy = policy(transfers, &all)?;
    Ok(Stores::new(primary, all, policy))
}

async fn open(
    name: &str,
    config: StoreConfig,
    settings: &Settings,
    memory: &Memory,
) -> Result<Store> {
    match config {
        // A relative path is one in the data folder.
        StoreConfig::Disk { path, .. } => {
            let path = settings.data_dir.join(path);
            open_disk(name, &path, settings.transfers.disk_reserve, memory).await
        }
        StoreConfig::Bucket { options, .. } => {
            let opened = Bucket::new(name, *options, memory.clone());
            let bucket = opened.with_context(|| format!("the store `{name}`"))?;
            let needed = bucket.memory_needed(None) as u64;
            if let Some(size) = memory.size().filter(|size| *size < needed) {
                let missing = needed - size;
                bail!(
                    "the store `{name}` needs {missing} bytes more of `request_memory`, or a smaller \
                     `segment_size`, or fewer `concurrent_uploads`"
                );
            }
            Ok(Store::Bucket(bucket))
        }
    }
}

async fn open_disk(name: &str, path: &Path, reserve: u64, memory: &Memory) -> Result<Store> {
    let opened = Disk::open(name, path, reserve, memory.clone()).await;
    Ok(Store::Disk(
        opened.with_context(|| format!("the store `{name}`"))?,
    ))
}

fn find(all: &[Store], name: &str) -> Result<Store> {
    let found = all.iter().find(|store| store.name() == name).cloned();
    found.with_context(|| format!("the settings have no store `{name}`"))
}

fn policy(transfers: &Transfers, all: &[Store]) -> Result<Option<Policy>> {
    let keeps_source = match transfers.transfer_policy {
        PolicyKind::None => return Ok(None),
        PolicyKind::Move => false,
        PolicyKind::Copy => true,
    };
    let to = transfers.transfer_to.as_ref();
    let to = to.context("`transfer_policy` needs `transfer_to`")?;
    if *find(all, to)?.name() == transfers.primary {
        bail!("`transfer_to` must be another store than `primary`");
    }
    Ok(Some(Policy {
        to: to.clone(),
        keeps_source,
    }))
}
