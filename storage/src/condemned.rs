//! Bytes that are about to go.

use std::path::PathBuf;

use crate::{Disk, Result, disk::remove_file, error::blocking};

/// An object whose row is about to go, marked until it is said what became of it.
///
/// Dropped without a word it stays marked, and is looked after when this process is gone.
#[derive(Debug)]
pub struct Condemned {
    disk: Disk,
    key: String,
    mark: PathBuf,
}

impl Condemned {
    pub(crate) fn new(disk: Disk, key: String) -> Result<Self> {
        disk.path(&key)?;
        let mark = disk.staging().mark(&key)?;
        Ok(Self { disk, key, mark })
    }

    /// Removes the bytes, to which no row leads any more; that they are not there is no failure.
    ///
    /// When this returns, no power failure brings them back.
    ///
    /// # Errors
    ///
    /// When the disk fails.
    pub async fn remove(self) -> Result<()> {
        blocking(move || {
            self.disk.remove_for_good(&self.key)?;
            remove_file(&self.mark)
        })
        .await
    }

    /// Says that the bytes stay.
    ///
    /// # Errors
    ///
    /// When the disk fails.
    pub async fn spare(self) -> Result<()> {
        blocking(move || remove_file(&self.mark)).await
    }
}
