//! Bytes that are where they will stay, and of which no row is known yet.

use std::path::PathBuf;

use domain::{Address, Sha1};

use crate::{Disk, Result, disk::remove_file, error::blocking, key, staging::StagedFile};

/// Bytes that are where they will stay, marked until it is said whether a row points at them.
#[must_use = "the bytes stay marked until they are kept or discarded"]
#[derive(Debug)]
pub struct Placed {
    disk: Disk,
    key: String,
    mark: PathBuf,
}

impl Placed {
    pub(crate) fn new(disk: Disk, mut staged: StagedFile, sha1: &Sha1) -> Result<Self> {
        rustix::fs::fdatasync(&staged.file)?;
        let key = key::fresh(sha1)?;
        let mark = disk.staging().mark(&key)?;
        if let Err(error) = disk.adopt(&staged.path, &key) {
            // It may have been named already, and only the folder's sync has failed. What cannot
            // be removed either stays marked.
            let _ = disk.remove(&key).and_then(|()| remove_file(&mark));
            return Err(error);
        }
        staged.path = PathBuf::new();
        Ok(Self { disk, key, mark })
    }

    /// Where the bytes are.
    #[must_use]
    pub fn address(&self) -> Address {
        self.disk.address(self.key.clone())
    }

    /// Says that a row which points at the bytes is committed.
    pub async fn keep(self) {
        // A mark that cannot be removed says nothing that is still needed: who finds it finds the
        // row too.
        let _ = blocking(move || remove_file(&self.mark)).await;
    }

    /// Removes the bytes, to which no row points.
    ///
    /// # Errors
    ///
    /// When the disk fails; the bytes stay marked then, and go after this process.
    pub async fn discard(self) -> Result<()> {
        blocking(move || {
            self.disk.remove(&self.key)?;
            remove_file(&self.mark)
        })
        .await
    }
}
