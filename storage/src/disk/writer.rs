//! Hashing and writing bytes while more of them arrive.

use std::{fs::File, io, mem, os::unix::fs::FileExt as _, sync::Arc};

use bytes::{Bytes, BytesMut};
use tokio::task::{JoinError, JoinHandle, spawn_blocking};

use super::{
    reserve::Reserve,
    sync::{BackgroundSync, stopped},
};
use crate::{
    error::{Error, Result},
    hashing::Hashes,
    sizes::BATCH_SIZE,
};

/// Hashes and writes bytes to a file, in batches.
///
/// While one batch is hashed and, at the same time, written, the next one fills. So an upload is as
/// fast as the slowest of network, hashes and disk.
pub(super) struct FileWriter {
    file: Arc<File>,
    /// The position of the next batch in the file.
    position: u64,
    filling: BytesMut,
    work: Work,
    sync: BackgroundSync,
    reserve: Reserve,
}

enum Work {
    /// No batch is being hashed or written.
    Idle {
        hashes: Box<Hashes>,
        spare: BytesMut,
    },
    /// A batch is being hashed and written.
    Running(Batch),
    /// An operation failed, so it is unknown what was written.
    Broken,
}

/// A batch that is being hashed and written.
///
/// It keeps the outcomes, so that a caller that stopped waiting can wait again.
struct Batch {
    hashing: JoinHandle<Box<Hashes>>,
    hashed: Option<Result<Box<Hashes>, JoinError>>,
    writing: JoinHandle<Result<Bytes>>,
    written: Option<Result<Result<Bytes>, JoinError>>,
}

impl FileWriter {
    /// Creates a writer that continues after the bytes that `hashes` contains.
    pub(super) fn new(
        file: Arc<File>,
        hashes: Hashes,
        sync: BackgroundSync,
        reserve: Reserve,
    ) -> Self {
        let hashes = Box::new(hashes);
        Self {
            file,
            position: hashes.content.size(),
            filling: BytesMut::new(),
            work: Work::Idle {
                hashes,
                spare: BytesMut::new(),
            },
            sync,
            reserve,
        }
    }

    /// Takes the next bytes.
    pub(super) async fn write(&mut self, mut bytes: &[u8]) -> Result<()> {
        while self.filling.len() + bytes.len() > BATCH_SIZE {
            let fitting = BATCH_SIZE - self.filling.len();
            self.filling.extend_from_slice(&bytes[..fitting]);
            bytes = &bytes[fitting..];
            self.flush().await?;
        }
        self.filling.extend_from_slice(bytes);
        Ok(())
    }

    /// Waits until all bytes are hashed and written, and returns their hashes.
    pub(super) async fn settle(&mut self) -> Result<Box<Hashes>> {
        if !self.filling.is_empty() {
            self.flush().await?;
        }
        let hashes = wait_until_idle(&mut self.work).await?;
        self.sync.end(hashes).await?;
        Ok(Box::new(hashes.clone()))
    }

    /// Starts to hash and write the collected batch, once the previous batch is done.
    async fn flush(&mut self) -> Result<()> {
        let hashes = wait_until_idle(&mut self.work).await?;
        let before = self.sync.batch_written(&self.file, hashes).await?;
        let Work::Idle { mut hashes, spare } = mem::replace(&mut self.work, Work::Broken) else {
            return Err(broken());
        };
        let (file, position, reserve) = (Arc::clone(&self.file), self.position, self.reserve);
        let batch = mem::replace(&mut self.filling, spare).freeze();
        self.position += batch.len() as u64;
        let same_batch = batch.clone();
        let hashing = spawn_blocking(move || {
            hashes.update(&same_batch);
            hashes
        });
        let writing = spawn_blocking(move || {
            before.save()?;
            reserve.leave_free(&file, batch.len())?;
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

/// Waits for the running batch, and returns the hashes of all bytes so far.
///
/// After an error nothing is being written any more.
async fn wait_until_idle(work: &mut Work) -> Result<&mut Hashes> {
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
            hashed: Some(hashed),
            written: Some(written),
            ..
        }) => {
            let buffer = written.map_err(stopped)??;
            let mut spare = buffer.try_into_mut().unwrap_or_default();
            spare.clear();
            Work::Idle {
                hashes: hashed.map_err(stopped)?,
                spare,
            }
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
