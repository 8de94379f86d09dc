//! Hashing and writing bytes while more of them arrive.

use std::{fs::File, io, mem, os::unix::fs::FileExt as _, sync::Arc};

use tokio::task::{JoinError, JoinHandle, spawn_blocking};

use super::{
    reserve::Reserve,
    sync::{BackgroundSync, stopped},
};
use crate::{
    error::{Error, Result},
    hashing::Hashes,
    memory::{Buffer, Filled, Memory},
};

/// Hashes and writes bytes to a file, in batches.
///
/// While one batch is hashed and, at the same time, written, the next one fills. So an upload is as
/// fast as the slowest of network, hashes and disk.
pub(super) struct FileWriter {
    file: Arc<File>,
    /// The position of the next batch in the file.
    position: u64,
    filling: Buffer,
    work: Work,
    sync: BackgroundSync,
    reserve: Reserve,
}

enum Work {
    /// No batch is being hashed or written.
    Idle {
        hashes: Box<Hashes>,
        /// The last batch, whose space the next one takes.
        spare: Filled,
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
    writing: JoinHandle<Result<Arc<Filled>>>,
    written: Option<Result<Result<Arc<Filled>>, JoinError>>,
}

impl FileWriter {
    /// Creates a writer that continues after the bytes that `hashes` contains.
    pub(super) fn new(
        file: Arc<File>,
        hashes: Hashes,
        sync: BackgroundSync,
        reserve: Reserve,
        memory: &Memory,
    ) -> Self {
        let hashes = Box::new(hashes);
        Self {
            file,
            position: hashes.content.size(),
            filling: Buffer::new(memory),
            work: Work::Idle {
                hashes,
                spare: Filled::default(),
            },
            sync,
            reserve,
        }
    }

    /// Takes the next bytes.
    pub(super) async fn write(&mut self, mut bytes: &[u8]) -> Result<()> {
        loop {
            bytes = self.filling.fill(bytes);
            if bytes.is_empty() {
                return Ok(());
            }
            self.flush().await?;
        }
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
        let size = self.filling.len() as u64;
        let before = self.sync.before_batch(size, &self.file, hashes).await?;
        let Work::Idle { mut hashes, spare } = mem::replace(&mut self.work, Work::Broken) else {
            return Err(broken());
        };
        let (file, position, reserve) = (Arc::clone(&self.file), self.position, self.reserve);
        let batch = Arc::new(self.filling.replace(spare));
        self.position += size;
        let same_batch = Arc::clone(&batch);
        let hashing = spawn_blocking(move || {
            hashes.update((*same_batch).as_ref());
            hashes
        });
        let writing = spawn_blocking(move || {
            before.save()?;
            let bytes = (*batch).as_ref();
            reserve.leave_free(&file, bytes.len())?;
            file.write_all_at(bytes, position)?;
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
            let batch = written.map_err(stopped)??;
            Work::Idle {
                hashes: hashed.map_err(stopped)?,
                // Nobody else has it any more.
                spare: Arc::try_unwrap(batch).unwrap_or_default(),
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
