//! Removes objects that incomplete uploads left behind.

use std::{
    collections::{HashMap, HashSet},
    time::{Duration, Instant},
};

use domain::{Sha1, StoredContent};
use futures_util::{StreamExt as _, stream};
use persistence::{Database, PendingDeletion, Shard};
use storage::{AbandonedStaging, PendingObject, Store, UncommittedObject};

use crate::{FileService, Result, boxed};

/// Number of rows per query.
const BATCH: u64 = 500;

/// Number of objects that are removed at a time.
const CONCURRENCY: usize = 16;

/// Maximum duration of one sweep of pending deletions, so that other work is not delayed.
const MAX_SWEEP_TIME: Duration = Duration::from_secs(30);

/// Minimum age of an object before it is removed if its process is gone: a database server may
/// still commit its row.
const COMMIT_GRACE: Duration = Duration::from_mins(1);

impl FileService {
    /// Removes objects of dead processes that have no committed row.
    ///
    /// Objects whose row may still be committed stay until a later sweep.
    ///
    /// # Errors
    ///
    /// When the store or the database fails; uncertain objects stay.
    #[boxed]
    pub async fn sweep(&self) -> Result<()> {
        for disk in self.0.stores.iter().filter_map(Store::as_disk) {
            for mut folder in disk.abandoned().await? {
                let swept = self.sweep_folder(&mut folder).await;
                folder.close().await?;
                swept?;
            }
        }
        Ok(())
    }

    /// Deletes the objects whose deletion is due, unless a row points at them.
    ///
    /// A failure does not stop the deletion of other objects.
    ///
    /// # Errors
    ///
    /// When the database fails; the rest is deleted by a later sweep.
    #[boxed]
    pub async fn sweep_pending_deletions(&self) -> Result<()> {
        let began = Instant::now();
        let now = self.0.clock.now();
        let (mut after, mut failed) = (None, HashSet::new());
        while began.elapsed() < MAX_SWEEP_TIME {
            let pending = self.0.database.pending_deletions();
            let due = pending.list_due(now, after, BATCH).await?;
            let last = due.last().map(|last| (last.due_at, last.id));
            let is_all = (due.len() as u64) < BATCH;
            let mut tried = due;
            tried.retain(|deletion| !failed.contains(&deletion.address.store));
            let mut settled = stream::iter(tried)
                .map(|deletion| async move {
                    let outcome = self.delete_if_unused(&deletion).await;
                    (deletion, outcome)
                })
                .buffer_unordered(CONCURRENCY);
            while let Some((deletion, outcome)) = settled.next().await {
                if let Err(error) = outcome {
                    let address = &deletion.address;
                    // The other objects in that store wait as well.
                    if is_store_failure(&error) && failed.insert(address.store.clone()) {
                        tracing::warn!(%address, %error, "could not delete the object, retrying later");
                    }
                }
            }
            drop(settled);
            if is_all {
                break;
            }
            after = last;
        }
        Ok(())
    }

    async fn delete_if_unused(&self, deletion: &PendingDeletion) -> Result<()> {
        let (sha1, address) = (&deletion.sha1, &deletion.address);
        let store = self.0.stores.of(address)?;
        let pending = self.0.database.pending_deletions();
        // From here on no row can begin to point at it; one may do so already.
        if !pending.claim(deletion).await? {
            // The deletion was postponed, or is done.
            return Ok(());
        }
        if !self.0.database.is_recorded(sha1, address).await? {
            store.remove(&address.key).await?;
            tracing::info!(%address, "deleted the unused object");
        }
        Ok(pending.cancel(sha1, address).await?)
    }

    /// Removes segments that belong to no upload.
    ///
    /// # Errors
    ///
    /// When a store or the database fails.
    #[boxed]
    pub async fn sweep_segments(&self) -> Result<()> {
        for store in self.0.stores.iter() {
            let age = self.0.limits.upload_grace();
            for key in self.list_orphaned_segments(store, age).await? {
                tracing::info!(store = store.name(), key, "removing an orphaned segment");
                store.remove(&key).await?;
            }
        }
        Ok(())
    }

    /// Lists segments in a store that belong to no upload and are too old to be in progress.
    pub(crate) async fn list_orphaned_segments(
        &self,
        store: &Store,
        age: Duration,
    ) -> Result<Vec<String>> {
        let before = self.0.clock.now().before(age);
        let mut unknown = Vec::new();
        let mut segments = store.list_segments().await?;
        while let Some(segment) = segments.next().await {
            let segment = segment?;
            let is_old = segment.modified.is_some_and(|modified| modified <= before);
            if is_old && !self.is_known_segment(&segment.key).await? {
                unknown.push(segment.key);
            }
        }
        Ok(unknown)
    }

    async fn is_known_segment(&self, key: &str) -> Result<bool> {
        let id = key.split('/').nth(1).and_then(|id| id.parse().ok());
        let Some(id) = id else {
            return Ok(false);
        };
        Ok(self.0.database.stagings().has_segment(id, key).await?)
    }

    async fn sweep_folder(&self, folder: &mut AbandonedStaging) -> Result<()> {
        let mut by_shard: HashMap<Shard, Vec<PendingObject>> = HashMap::new();
        for pending in &folder.pending {
            let shard = Shard::of(&pending.sha1);
            by_shard.entry(shard).or_default().push(pending.clone());
        }
        let grace = grace(&self.0.database);
        for (shard, pending) in by_shard {
            let sha1s: Vec<Sha1> = pending.iter().map(|pending| pending.sha1).collect();
            let contents = self.0.database.contents();
            let rows = contents.find_many(shard, &sha1s).await?;
            let available = contents.find_available(shard, &sha1s).await?;
            for pending in pending {
                let is_at = |row: &StoredContent| row.copies().any(|at| *at == pending.address);
                let mut committed = available.iter().any(is_at);
                if !committed && rows.iter().any(is_at) {
                    // The content is being purged; the marker stays until the purge ends or is
                    // undone.
                    continue;
                }
                if !committed && pending.age < grace {
                    continue;
                }
                if !committed {
                    let database = &self.0.database;
                    committed = database
                        .is_recorded(&pending.sha1, &pending.address)
                        .await?;
                }
                tracing::info!(address = %pending.address, committed, "settled an uncommitted object");
                folder.settle(&pending, committed).await?;
            }
        }
        Ok(())
    }
}

impl FileService {
    /// Finds out in the background whether a row was committed, and keeps or removes its bytes.
    ///
    /// If the process ends first, its marker remains, and a sweep does the same.
    pub(crate) fn resolve_commit_later(&self, placed: UncommittedObject, sha1: Sha1) {
        let service = self.clone();
        tokio::spawn(async move {
            let database = &service.0.database;
            loop {
                tokio::time::sleep(grace(database).max(Duration::from_secs(1))).await;
                match database.is_recorded(&sha1, &placed.address()).await {
                    Ok(true) => return placed.commit().await,
                    Ok(false) => return service.discard(placed, &sha1, true).await,
                    Err(error) => {
                        tracing::debug!(%error, "could not look up the outcome of the commit, retrying");
                    }
                }
            }
        });
    }
}

/// Returns whether the store failed, so that further requests would fail as well.
fn is_store_failure(error: &crate::Error) -> bool {
    matches!(error, crate::Error::Store(_))
}

fn grace(database: &Database) -> Duration {
    if database.commits_outlive_clients() {
        COMMIT_GRACE
    } else {
        Duration::ZERO
    }
}
