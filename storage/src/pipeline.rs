//! Hashing and writing bytes while more of them arrive.

use std::{fs::File, io, mem, os::unix::fs::FileExt as _, sync::Arc};

use bytes::{Bytes, BytesMut};
use domain::{ChecksumVerifier, ContentHasher};
use tokio::task::{JoinError, JoinHandle, spawn_blocking};

use crate::{Error, Result, uploads::StateFile};

/// How many bytes are hashed and written at a time; twice that is what one upload takes up.
pub(crate) const BATCH: usize = 512 * 1024;

/// After how many batches to begin a sync of what was written by then.
const BATCHES_TO_SYNC: u32 = 64;

/// After how many batches to save the state of the hashes of an upload that can be resumed, and to
/// begin a sync of it.
const BATCHES_TO_SAVE: u32 = 8;

/// How many bytes that may be lost in a power failure are enough for a sync.
pub(crate) const WORTH_A_SYNC: u64 = BATCHES_TO_SAVE as u64 * BATCH as u64;

/// What is computed of the bytes on their way.
#[derive(Clone, Default)]
pub(crate) struct Hashes {
    /// Of all of the content.
    pub(crate) content: ContentHasher,
    /// Of what this pipeline takes in.
    pub(crate) checksums: Vec<ChecksumVerifier>,
}

impl Hashes {
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.content.update(bytes);
        for checksum in &mut self.checksums {
            checksum.update(bytes);
        }
    }
}

/// Takes bytes in, and hashes and writes them in batches.
///
/// While one batch is hashed and, beside that, written, the next one fills; so a stream is as fast
/// as the slowest of network, hashes and disk.
pub(crate) struct Pipeline {
    file: Arc<File>,
    /// Where in the file the next batch goes.
    position: u64,
    filling: BytesMut,
    work: Work,
    upkeep: Upkeep,
}

enum Work {
    /// Everything that was begun is done.
    Idle {
        hashes: Box<Hashes>,
        spare: BytesMut,
    },
    /// A batch is being hashed and written.
    Running {
        hashing: JoinHandle<Box<Hashes>>,
        writing: JoinHandle<io::Result<Bytes>>,
    },
    /// Something failed; what was written is not known.
    Broken,
}

/// What is done for the file beside the writing, so that little is left for its last sync.
pub(crate) enum Upkeep {
    /// The file is written in one go.
    Sync(Syncing),
    /// The file is written over many requests.
    Save(Saving),
}

/// Syncs that go on beside the writing.
///
/// Whatever one of them says is heard: the kernel tells of a failed write once.
#[derive(Default)]
pub(crate) struct Syncing {
    batches: u32,
    running: Option<JoinHandle<io::Result<()>>>,
}

/// Syncs that go on beside the writing, even beside the next requests', and remember what is on
/// the disk.
pub(crate) struct Saving {
    batches: u32,
    state: Arc<StateFile>,
    /// How many bytes are on the disk, or will be when the running sync is done.
    synced: u64,
    /// The bytes are still to be verified, and do not count until then.
    is_held: bool,
    running: Option<JoinHandle<()>>,
}

impl Pipeline {
    pub(crate) fn new(file: Arc<File>, hashes: Hashes, upkeep: Upkeep) -> Self {
        let hashes = Box::new(hashes);
        Self {
            file,
            position: hashes.content.size(),
            filling: BytesMut::new(),
            work: Work::Idle {
                hashes,
                spare: BytesMut::new(),
            },
            upkeep,
        }
    }

    /// Takes in the next bytes.
    pub(crate) async fn write(&mut self, mut bytes: &[u8]) -> Result<()> {
        while self.filling.len() + bytes.len() > BATCH {
            let fitting = BATCH - self.filling.len();
            self.filling.extend_from_slice(&bytes[..fitting]);
            bytes = &bytes[fitting..];
            self.flush().await?;
        }
        self.filling.extend_from_slice(bytes);
        Ok(())
    }

    /// Waits until everything is hashed and written, and gives the hashes.
    pub(crate) async fn settle(&mut self) -> Result<Box<Hashes>> {
        if !self.filling.is_empty() {
            self.flush().await?;
        }
        let (hashes, spare) = self.idle().await?;
        self.upkeep.end(&self.file, &hashes).await?;
        let settled = hashes.clone();
        self.work = Work::Idle { hashes, spare };
        Ok(settled)
    }

    /// Begins to hash and to write what has been filled, once the batch before it is done.
    async fn flush(&mut self) -> Result<()> {
        let (mut hashes, spare) = self.idle().await?;
        let (file, position) = (Arc::clone(&self.file), self.position);
        let held = self.upkeep.batch_written(&file, &hashes).await?;
        let batch = mem::replace(&mut self.filling, spare).freeze();
        self.position += batch.len() as u64;
        let same_batch = batch.clone();
        let hashing = spawn_blocking(move || {
            hashes.update(&same_batch);
            hashes
        });
        let writing = spawn_blocking(move || {
            file.write_all_at(&batch, position)?;
            drop(held);
            Ok(batch)
        });
        self.work = Work::Running { hashing, writing };
        Ok(())
    }

    /// Waits for the batch that is being worked on.
    async fn idle(&mut self) -> Result<(Box<Hashes>, BytesMut)> {
        match mem::replace(&mut self.work, Work::Broken) {
            Work::Idle { hashes, spare } => Ok((hashes, spare)),
            Work::Running { hashing, writing } => {
                let hashes = hashing.await.map_err(stopped)?;
                let batch = writing.await.map_err(stopped)??;
                let mut spare = batch.try_into_mut().unwrap_or_default();
                spare.clear();
                Ok((hashes, spare))
            }
            Work::Broken => Err(io::Error::other("an earlier write failed").into()),
        }
    }
}

impl Upkeep {
    /// Does what is due when everything before this position is written and hashed.
    ///
    /// What it gives is to be held until the next batch is written.
    async fn batch_written(
        &mut self,
        file: &Arc<File>,
        hashes: &Hashes,
    ) -> Result<Option<Arc<StateFile>>> {
        match self {
            Self::Sync(syncing) => syncing.batch_written(file).await.map(|()| None),
            Self::Save(saving) => {
                saving.batch_written(file, &hashes.content).await?;
                // The lock has to outlive the write, even if nobody waits for it any more.
                Ok(Some(Arc::clone(&saving.state)))
            }
        }
    }

    /// Does what is due when everything is written.
    async fn end(&mut self, file: &Arc<File>, hashes: &Hashes) -> Result<()> {
        match self {
            Self::Sync(syncing) => heard(&mut syncing.running).await,
            Self::Save(saving) => {
                saving.sync_if_due(file, &hashes.content);
                Ok(())
            }
        }
    }
}

impl Syncing {
    async fn batch_written(&mut self, file: &Arc<File>) -> Result<()> {
        self.batches += 1;
        let is_running = self
            .running
            .as_ref()
            .is_some_and(|sync| !sync.is_finished());
        if self.batches < BATCHES_TO_SYNC || is_running {
            return Ok(());
        }
        heard(&mut self.running).await?;
        self.batches = 0;
        let file = Arc::clone(file);
        self.running = Some(spawn_blocking(move || Ok(rustix::fs::fdatasync(file)?)));
        Ok(())
    }
}

impl Saving {
    pub(crate) fn new(state: Arc<StateFile>, synced: u64, is_held: bool) -> Self {
        Self {
            batches: 0,
            state,
            synced,
            is_held,
            running: None,
        }
    }

    async fn batch_written(&mut self, file: &Arc<File>, hasher: &ContentHasher) -> Result<()> {
        self.batches += 1;
        if self.batches < BATCHES_TO_SAVE {
            return Ok(());
        }
        self.batches = 0;
        let (state, newest) = (Arc::clone(&self.state), hasher.clone());
        let saved = spawn_blocking(move || state.save(&newest));
        saved.await.map_err(stopped)??;
        self.sync_if_due(file, hasher);
        Ok(())
    }

    /// Begins to sync what is written if there is enough for that, and no sync is running.
    ///
    /// Nobody waits for it. If it fails, none of the bytes counts any more.
    fn sync_if_due(&mut self, file: &Arc<File>, hasher: &ContentHasher) {
        let is_running = self
            .running
            .as_ref()
            .is_some_and(|sync| !sync.is_finished());
        let unsynced = hasher.size().saturating_sub(self.synced);
        if self.is_held || is_running || unsynced < WORTH_A_SYNC {
            return;
        }
        self.synced = hasher.size();
        let (file, hasher) = (Arc::clone(file), hasher.clone());
        let noting = self.state.unlocked();
        self.running = Some(spawn_blocking(move || {
            if let Err(error) = noting.note_sync(rustix::fs::fdatasync(file), &hasher) {
                tracing::error!(%error, "the bytes of an upload may be lost");
            }
        }));
    }
}
/// Waits for a sync, if there is one, and hears what it says.
async fn heard(sync: &mut Option<JoinHandle<io::Result<()>>>) -> Result<()> {
    match sync.take() {
        Some(sync) => Ok(sync.await.map_err(stopped)??),
        None => Ok(()),
    }
}

fn stopped(error: JoinError) -> Error {
    Error::Unavailable(io::Error::other(error))
}
