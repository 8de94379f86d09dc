//! A content that is arriving.

use std::{
    io::{self, Write as _},
    mem,
    sync::Arc,
};

use bytes::{Bytes, BytesMut};
use domain::{Content, ContentHasher};
use tokio::task::{JoinError, JoinHandle, spawn_blocking};

use crate::{
    Disk, Error, Placed, Result,
    error::blocking,
    staging::{StagedFile, Staging},
};

/// How many bytes are hashed and written at a time; twice that is what one upload takes up.
const BATCH: usize = 512 * 1024;

/// After how many batches to begin a sync of what was written by then.
const BATCHES_TO_SYNC: u32 = 64;

/// A content that is arriving, piece by piece.
///
/// While one batch is hashed and, beside that, written, the next one fills; so a stream is as fast
/// as the slowest of network, hashes and disk. A content that fits in one batch is kept in memory
/// until it is known to be new. Dropping it removes what was written.
pub struct Incoming {
    disk: Disk,
    filling: BytesMut,
    work: Work,
    syncing: Syncing,
}

/// Syncs that go on beside the writing, so that little is left for the last one.
///
/// Whatever one of them says is heard: the kernel tells of a failed write once.
#[derive(Default)]
struct Syncing {
    batches: u32,
    running: Option<JoinHandle<io::Result<()>>>,
}

enum Work {
    /// Nothing was more than a batch yet.
    None,
    /// A batch is being hashed and written.
    Running {
        hashing: JoinHandle<ContentHasher>,
        writing: JoinHandle<io::Result<(StagedFile, Bytes)>>,
    },
}

/// A content that arrived, and is identified, but is not safe yet.
pub struct Received {
    disk: Disk,
    /// What identifies it.
    pub content: Content,
    bytes: ReceivedBytes,
}

enum ReceivedBytes {
    InMemory(Bytes),
    Staged(StagedFile),
}

impl Incoming {
    pub(crate) fn new(disk: Disk) -> Self {
        Self {
            disk,
            filling: BytesMut::new(),
            work: Work::None,
            syncing: Syncing::default(),
        }
    }

    /// Takes in the next bytes.
    ///
    /// # Errors
    ///
    /// [`Error::Full`] when the disk is; whatever else the disk says.
    pub async fn write(&mut self, mut bytes: &[u8]) -> Result<()> {
        while self.filling.len() + bytes.len() > BATCH {
            let fitting = BATCH - self.filling.len();
            self.filling.extend_from_slice(&bytes[..fitting]);
            bytes = &bytes[fitting..];
            self.flush().await?;
        }
        self.filling.extend_from_slice(bytes);
        Ok(())
    }

    /// Ends the content, and says what identifies it.
    ///
    /// # Errors
    ///
    /// As [`Incoming::write`].
    pub async fn finish(mut self) -> Result<Received> {
        if matches!(self.work, Work::None) {
            let bytes = mem::take(&mut self.filling).freeze();
            let (hashed, bytes) = blocking(move || {
                let mut hasher = ContentHasher::default();
                hasher.update(&bytes);
                Ok((hasher, bytes))
            })
            .await?;
            return Ok(Received {
                disk: self.disk,
                content: hashed.finish(),
                bytes: ReceivedBytes::InMemory(bytes),
            });
        }
        self.flush().await?;
        let (hasher, staged, _) = self.settle().await?;
        self.syncing.end().await?;
        Ok(Received {
            disk: self.disk,
            content: hasher.finish(),
            bytes: ReceivedBytes::Staged(staged),
        })
    }

    /// Begins to hash and to write what has been filled, once the batch before it is done.
    async fn flush(&mut self) -> Result<()> {
        let (mut hasher, staged, spare) = self.settle().await?;
        self.syncing.batch_written(&staged).await?;
        let batch = mem::replace(&mut self.filling, spare).freeze();
        let same_batch = batch.clone();
        let hashing = spawn_blocking(move || {
            hasher.update(&same_batch);
            hasher
        });
        let writing = spawn_blocking(move || {
            (&*staged.file).write_all(&batch)?;
            Ok((staged, batch))
        });
        self.work = Work::Running { hashing, writing };
        Ok(())
    }

    /// Waits for the batch that is being worked on.
    async fn settle(&mut self) -> Result<(ContentHasher, StagedFile, BytesMut)> {
        match mem::replace(&mut self.work, Work::None) {
            Work::None => {
                let disk = self.disk.clone();
                let staged = blocking(move || disk.staging().create()).await?;
                Ok((ContentHasher::default(), staged, BytesMut::new()))
            }
            Work::Running { hashing, writing } => {
                let hasher = hashing.await.map_err(stopped)?;
                let (staged, batch) = writing.await.map_err(stopped)??;
                let mut spare = batch.try_into_mut().unwrap_or_default();
                spare.clear();
                Ok((hasher, staged, spare))
            }
        }
    }
}

impl Syncing {
    /// Begins a sync if there is enough for one, and none is running.
    async fn batch_written(&mut self, staged: &StagedFile) -> Result<()> {
        self.batches += 1;
        let is_running = self
            .running
            .as_ref()
            .is_some_and(|sync| !sync.is_finished());
        if self.batches < BATCHES_TO_SYNC || is_running {
            return Ok(());
        }
        self.end().await?;
        self.batches = 0;
        let file = Arc::clone(&staged.file);
        self.running = Some(spawn_blocking(move || Ok(rustix::fs::fdatasync(file)?)));
        Ok(())
    }

    /// Waits for the sync that is running.
    async fn end(&mut self) -> Result<()> {
        match self.running.take() {
            Some(sync) => Ok(sync.await.map_err(stopped)??),
            None => Ok(()),
        }
    }
}

fn stopped(error: JoinError) -> Error {
    Error::Unavailable(io::Error::other(error))
}

impl Received {
    /// Makes the bytes safe: written, synced, named, and the name synced.
    ///
    /// # Errors
    ///
    /// [`Error::Full`] when the disk is; whatever else the disk says. Nothing is left of it then.
    pub async fn place(self) -> Result<Placed> {
        blocking(move || {
            let staged = self.bytes.into_file(self.disk.staging())?;
            Placed::new(self.disk, staged, &self.content.sha1)
        })
        .await
    }
}

impl ReceivedBytes {
    fn into_file(self, staging: &Staging) -> Result<StagedFile> {
        match self {
            Self::Staged(staged) => Ok(staged),
            Self::InMemory(bytes) => {
                let staged = staging.create()?;
                (&*staged.file).write_all(&bytes)?;
                Ok(staged)
            }
        }
    }
}
