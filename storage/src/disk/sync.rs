//! Syncing a file while it is written, so that its last sync is short.

use std::{fs::File, io, sync::Arc};

use domain::ContentHasher;
use tokio::task::{JoinError, JoinHandle, spawn_blocking};

use super::uploads::state::StateFile;
use crate::{
    blocking::blocking,
    error::{Error, Result},
    hashing::Hashes,
    sizes::BATCH_SIZE,
};

/// Bytes between two syncs of a file that is written by one request.
const SYNC_INTERVAL: u64 = 64 * BATCH_SIZE as u64;

/// Bytes after which the state of a resumable upload is saved, and a sync of it begins: the number that a
/// power failure may lose.
pub(super) const SYNC_THRESHOLD: u64 = 8 * BATCH_SIZE as u64;

/// The syncs of a file.
pub(super) enum BackgroundSync {
    /// One request writes the file.
    File(FileSync),
    /// Several requests write the file.
    Upload(UploadSync),
}

/// Syncs of a file that one request writes.
///
/// The outcome of each sync is checked, since the kernel reports a failed write only once.
#[derive(Default)]
pub(super) struct FileSync {
    /// Bytes that were written after the last sync began.
    unsynced: u64,
    running: Option<JoinHandle<io::Result<()>>>,
}

/// Syncs of a resumable upload. They record which bytes are on the disk, and may go on during the
/// next request.
pub(super) struct UploadSync {
    /// Bytes that were written after the state was saved.
    unsaved: u64,
    state: Arc<StateFile>,
    /// Bytes that are on the disk, or will be when the running sync is done.
    synced: u64,
    /// The bytes are not verified yet, and do not count until then.
    is_held: bool,
    running: Option<JoinHandle<()>>,
}

/// The work to do before a batch is written.
#[derive(Default)]
pub(super) struct BeforeWrite {
    /// The lock, which must be held until the write is done, even if no caller waits for it.
    state: Option<Arc<StateFile>>,
    /// The hash state of the bytes before the batch, if it is due to be saved.
    newest: Option<ContentHasher>,
}

impl BeforeWrite {
    pub(super) fn save(&self) -> io::Result<()> {
        match (&self.state, &self.newest) {
            (Some(state), Some(newest)) => state.save(newest).map_err(io::Error::other),
            _ => Ok(()),
        }
    }
}

impl BackgroundSync {
    /// Does the work that is due before a batch of `size` bytes, when all earlier ones are written and
    /// hashed.
    pub(super) async fn before_batch(
        &mut self,
        size: u64,
        file: &Arc<File>,
        hashes: &Hashes,
    ) -> Result<BeforeWrite> {
        match self {
            Self::File(sync) => {
                sync.before_batch(size, file).await?;
                Ok(BeforeWrite::default())
            }
            Self::Upload(sync) => sync.before_batch(size, &hashes.content).await,
        }
    }

    /// Does the work that is due when all bytes are written.
    pub(super) async fn end(&mut self, hashes: &Hashes) -> Result<()> {
        match self {
            Self::File(sync) => wait_for(&mut sync.running).await,
            Self::Upload(sync) => sync.sync_if_due(&hashes.content).await,
        }
    }
}

impl FileSync {
    async fn before_batch(&mut self, size: u64, file: &Arc<File>) -> Result<()> {
        self.unsynced += size;
        let is_running = self
            .running
            .as_ref()
            .is_some_and(|sync| !sync.is_finished());
        if self.unsynced < SYNC_INTERVAL || is_running {
            return Ok(());
        }
        wait_for(&mut self.running).await?;
        self.unsynced = 0;
        let file = Arc::clone(file);
        self.running = Some(spawn_blocking(move || Ok(rustix::fs::fdatasync(file)?)));
        Ok(())
    }
}

impl UploadSync {
    pub(super) fn new(state: Arc<StateFile>, synced: u64, is_held: bool) -> Self {
        Self {
            unsaved: 0,
            state,
            synced,
            is_held,
            running: None,
        }
    }

    async fn before_batch(&mut self, size: u64, hasher: &ContentHasher) -> Result<BeforeWrite> {
        self.unsaved += size;
        let mut before = BeforeWrite {
            state: Some(Arc::clone(&self.state)),
            newest: None,
        };
        if self.unsaved >= SYNC_THRESHOLD {
            self.sync_if_due(hasher).await?;
            self.unsaved = 0;
            before.newest = Some(hasher.clone());
        }
        Ok(before)
    }

    /// Starts a sync if enough bytes are unsynced and no sync is running.
    ///
    /// No caller waits for it. If it fails, none of the upload's bytes count any more.
    async fn sync_if_due(&mut self, hasher: &ContentHasher) -> Result<()> {
        let is_running = self
            .running
            .as_ref()
            .is_some_and(|sync| !sync.is_finished());
        let unsynced = hasher.size().saturating_sub(self.synced);
        if self.is_held || is_running || unsynced < SYNC_THRESHOLD {
            return Ok(());
        }
        // The lock is held until the sync has opened its own files.
        let state = Arc::clone(&self.state);
        let sync = blocking(move || state.begin_sync()).await?;
        self.synced = hasher.size();
        let hasher = hasher.clone();
        self.running = Some(spawn_blocking(move || {
            if let Err(error) = sync.run(&hasher) {
                tracing::error!(%error, "could not sync, the bytes of an upload may be lost");
            }
        }));
        Ok(())
    }
}

/// Waits for the running sync, if any, and returns its outcome.
async fn wait_for(sync: &mut Option<JoinHandle<io::Result<()>>>) -> Result<()> {
    match sync.take() {
        Some(sync) => Ok(sync.await.map_err(stopped)??),
        None => Ok(()),
    }
}

pub(super) fn stopped(error: JoinError) -> Error {
    Error::Unavailable(io::Error::other(error))
}
