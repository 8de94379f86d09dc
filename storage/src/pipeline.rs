//! Hashing and writing bytes while more of them arrive.

use std::{fs::File, io, mem, num::NonZeroU64, os::unix::fs::FileExt as _, sync::Arc};

use bytes::{Bytes, BytesMut};
use domain::{ChecksumVerifier, ContentHasher};
use rustix::fs::Advice;
use tokio::task::{JoinError, JoinHandle, spawn_blocking};

use crate::{Error, Result, uploads::StateFile};

/// How many bytes are hashed and written at a time; twice that is what one upload takes up.
pub(crate) const BATCH: usize = 512 * 1024;

/// After how many batches to begin a sync of what was written by then.
const BATCHES_TO_SYNC: u32 = 64;

/// After how many batches to have the kernel begin to write, and the state of the hashes saved.
const BATCHES_TO_SAVE: u32 = 16;

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
    Idle { hashes: Hashes, spare: BytesMut },
    /// A batch is being hashed and written.
    Running {
        hashing: JoinHandle<Hashes>,
        writing: JoinHandle<io::Result<Bytes>>,
    },
    /// Something failed; what was written is not known.
    Broken,
}

/// What is done for the file beside the writing, so that little is left for its last sync.
pub(crate) enum Upkeep {
    /// The file is written in one go: syncs go on beside the writing. Whatever one of them says
    /// is heard: the kernel tells of a failed write once.
    Sync {
        batches: u32,
        running: Option<JoinHandle<io::Result<()>>>,
    },
    /// The file is written over many requests: the kernel is only told to begin, so that
    /// whoever syncs in the end hears of what failed; and the state of the hashes is saved.
    Save {
        batches: u32,
        /// Up to where the kernel was told to write.
        begun: u64,
        state: Arc<StateFile>,
    },
}

impl Pipeline {
    pub(crate) fn new(file: Arc<File>, hashes: Hashes, upkeep: Upkeep) -> Self {
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
    pub(crate) async fn settle(&mut self) -> Result<Hashes> {
        if !self.filling.is_empty() {
            self.flush().await?;
        }
        let (hashes, spare) = self.idle().await?;
        self.upkeep.end(&self.file, self.position).await?;
        let settled = hashes.clone();
        self.work = Work::Idle { hashes, spare };
        Ok(settled)
    }

    /// Begins to hash and to write what has been filled, once the batch before it is done.
    async fn flush(&mut self) -> Result<()> {
        let (mut hashes, spare) = self.idle().await?;
        let (file, position) = (Arc::clone(&self.file), self.position);
        let held = self.upkeep.batch_written(&file, position, &hashes).await?;
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
    async fn idle(&mut self) -> Result<(Hashes, BytesMut)> {
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
    pub(crate) fn sync() -> Self {
        Self::Sync {
            batches: 0,
            running: None,
        }
    }

    pub(crate) fn save(state: Arc<StateFile>, position: u64) -> Self {
        Self::Save {
            batches: 0,
            begun: position,
            state,
        }
    }

    /// Does what is due when everything before `position` is written and hashed.
    ///
    /// What it gives is to be held until the next batch is written.
    async fn batch_written(
        &mut self,
        file: &Arc<File>,
        position: u64,
        hashes: &Hashes,
    ) -> Result<Option<Arc<StateFile>>> {
        match self {
            Self::Sync { batches, running } => {
                *batches += 1;
                let is_running = running.as_ref().is_some_and(|sync| !sync.is_finished());
                if *batches < BATCHES_TO_SYNC || is_running {
                    return Ok(None);
                }
                heard(running).await?;
                *batches = 0;
                let file = Arc::clone(file);
                *running = Some(spawn_blocking(move || Ok(rustix::fs::fdatasync(file)?)));
                Ok(None)
            }
            Self::Save {
                batches,
                begun,
                state,
            } => {
                *batches += 1;
                if *batches >= BATCHES_TO_SAVE {
                    *batches = 0;
                    let (file, state) = (Arc::clone(file), Arc::clone(state));
                    let hasher = hashes.content.clone();
                    let from = mem::replace(begun, position);
                    let saved = spawn_blocking(move || {
                        begin_to_write(&file, from, position);
                        state.save(&hasher)
                    });
                    saved.await.map_err(stopped)??;
                }
                // The lock has to outlive the write, even if nobody waits for it any more.
                Ok(Some(Arc::clone(state)))
            }
        }
    }

    /// Does what is due when everything is written.
    async fn end(&mut self, file: &Arc<File>, position: u64) -> Result<()> {
        match self {
            Self::Sync { running, .. } => heard(running).await,
            Self::Save { begun, .. } => {
                let file = Arc::clone(file);
                let from = mem::replace(begun, position);
                let told = spawn_blocking(move || begin_to_write(&file, from, position));
                told.await.map_err(stopped)
            }
        }
    }
}

/// Waits for a sync, if there is one, and hears what it says.
async fn heard(sync: &mut Option<JoinHandle<io::Result<()>>>) -> Result<()> {
    match sync.take() {
        Some(sync) => Ok(sync.await.map_err(stopped)??),
        None => Ok(()),
    }
}

/// Has the kernel begin to write what lies between two positions, without waiting for it.
///
/// That is what Linux does first when it is told that pages will not be needed; those that are
/// not written yet stay where they are.
fn begin_to_write(file: &File, from: u64, to: u64) {
    // Nothing to its end would mean everything.
    if let Some(length) = NonZeroU64::new(to.saturating_sub(from)) {
        // A hint, which nothing depends on.
        let _ = rustix::fs::fadvise(file, from, Some(length), Advice::DontNeed);
    }
}

fn stopped(error: JoinError) -> Error {
    Error::Unavailable(io::Error::other(error))
}
