//! Hashing and writing bytes while more of them arrive.

use std::{fs::File, io, mem, os::unix::fs::FileExt as _, sync::Arc};

use bytes::{Bytes, BytesMut};
use domain::{ChecksumVerifier, ContentHasher};
use tokio::task::{JoinError, JoinHandle, spawn_blocking};

use crate::{Error, Result, error::blocking, uploads::StateFile};

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
    /// Nothing is: it is known already.
    pub(crate) is_needless: bool,
}

impl Hashes {
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        if self.is_needless {
            return;
        }
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
    Running(Batch),
    /// Something failed; what was written is not known.
    Broken,
}

/// A batch that is being hashed and written.
///
/// What is done already is kept here, so that whoever waits may stop waiting, and wait again.
struct Batch {
    hashing: JoinHandle<Box<Hashes>>,
    hashed: Option<Result<Box<Hashes>, JoinError>>,
    writing: JoinHandle<io::Result<Bytes>>,
    written: Option<Result<io::Result<Bytes>, JoinError>>,
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
        let hashes = idle(&mut self.work).await?;
        self.upkeep.end(hashes).await?;
        Ok(Box::new(hashes.clone()))
    }

    /// Begins to hash and to write what has been filled, once the batch before it is done.
    async fn flush(&mut self) -> Result<()> {
        let hashes = idle(&mut self.work).await?;
        let before = self.upkeep.batch_written(&self.file, hashes).await?;
        let Work::Idle { mut hashes, spare } = mem::replace(&mut self.work, Work::Broken) else {
            return Err(broken());
        };
        let (file, position) = (Arc::clone(&self.file), self.position);
        let batch = mem::replace(&mut self.filling, spare).freeze();
        self.position += batch.len() as u64;
        let same_batch = batch.clone();
        let hashing = spawn_blocking(move || {
            hashes.update(&same_batch);
            hashes
        });
        let writing = spawn_blocking(move || {
            before.save()?;
            file.write_all_at(&batch, position)?;
            Ok(batch)
        });
        self.work = Work::Running(Batch {
            hashing,
            hashed: None,
            writing,
            written: None,
        });
        Ok(())
    }
}

/// Waits for the batch that is being worked on, and gives what the bytes so far came to.
///
/// If it fails, nothing is being written any more.
async fn idle(work: &mut Work) -> Result<&mut Hashes> {
    if let Work::Running(batch) = work {
        if batch.written.is_none() {
            batch.written = Some((&mut batch.writing).await);
        }
        if batch.hashed.is_none() {
            batch.hashed = Some((&mut batch.hashing).await);
        }
    }
    *work = match mem::replace(work, Work::Broken) {
        Work::Running(Batch {
            hashed: Some(outcome),
            written: Some(written),
            ..
        }) => {
            let batch = written.map_err(stopped)??;
            let mut spare = batch.try_into_mut().unwrap_or_default();
            spare.clear();
            let hashes = outcome.map_err(stopped)?;
            Work::Idle { hashes, spare }
        }
        other => other,
    };
    match work {
        Work::Idle { hashes, .. } => Ok(hashes),
        _ => Err(broken()),
    }
}

fn broken() -> Error {
    io::Error::other("an earlier write failed").into()
}

/// What comes before the writing of a batch.
#[derive(Default)]
struct Before {
    /// The lock has to outlive the write, even if nobody waits for it any more.
    state: Option<Arc<StateFile>>,
    /// What the bytes before it came to, if that is to be saved.
    newest: Option<ContentHasher>,
}

impl Before {
    fn save(&self) -> io::Result<()> {
        match (&self.state, &self.newest) {
            (Some(state), Some(newest)) => state.save(newest).map_err(io::Error::other),
            _ => Ok(()),
        }
    }
}

impl Upkeep {
    /// Does what is due when everything before this position is written and hashed.
    async fn batch_written(&mut self, file: &Arc<File>, hashes: &Hashes) -> Result<Before> {
        match self {
            Self::Sync(syncing) => {
                syncing.batch_written(file).await?;
                Ok(Before::default())
            }
            Self::Save(saving) => saving.batch_written(&hashes.content).await,
        }
    }

    /// Does what is due when everything is written.
    async fn end(&mut self, hashes: &Hashes) -> Result<()> {
        match self {
            Self::Sync(syncing) => heard(&mut syncing.running).await,
            Self::Save(saving) => saving.sync_if_due(&hashes.content).await,
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

    async fn batch_written(&mut self, hasher: &ContentHasher) -> Result<Before> {
        self.batches += 1;
        let mut before = Before {
            state: Some(Arc::clone(&self.state)),
            newest: None,
        };
        if self.batches >= BATCHES_TO_SAVE {
            self.sync_if_due(hasher).await?;
            self.batches = 0;
            before.newest = Some(hasher.clone());
        }
        Ok(before)
    }

    /// Begins to sync what is written if there is enough for that, and no sync is running.
    ///
    /// Nobody waits for it. If it fails, none of the bytes counts any more.
    async fn sync_if_due(&mut self, hasher: &ContentHasher) -> Result<()> {
        let is_running = self
            .running
            .as_ref()
            .is_some_and(|sync| !sync.is_finished());
        let unsynced = hasher.size().saturating_sub(self.synced);
        if self.is_held || is_running || unsynced < WORTH_A_SYNC {
            return Ok(());
        }
        // The lock is held until it has its files.
        let state = Arc::clone(&self.state);
        let sync = blocking(move || state.begin_sync()).await?;
        self.synced = hasher.size();
        let hasher = hasher.clone();
        self.running = Some(spawn_blocking(move || {
            if let Err(error) = sync.run(&hasher) {
                tracing::error!(%error, "the bytes of an upload may be lost");
            }
        }));
        Ok(())
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
