//! Cleaning up after dead processes.

use std::{fs, io, path::PathBuf, time::Duration};

use domain::{Address, Sha1};

use super::{
    files::remove_file,
    layout::Disk,
    staging::{LockedFolder, list_marks},
};
use crate::{blocking::blocking, boxed, error::Result};

/// The staging folder of a dead process. While it exists no other process cleans the folder up.
#[derive(Debug)]
pub struct AbandonedStaging {
    folder: LockedFolder,
    disk: Disk,
    /// The objects that the process created, and whose rows it may have committed or not.
    pub pending: Vec<PendingObject>,
}

/// An object whose row may or may not have been committed before its process died.
#[derive(Debug, Clone)]
pub struct PendingObject {
    /// The object's address, if it was created at all.
    pub address: Address,
    /// The SHA-1 of its content.
    pub sha1: Sha1,
    /// The time since it was marked.
    pub age: Duration,
    mark: PathBuf,
}

impl Disk {
    /// Finds the staging folders of dead processes.
    ///
    /// Their unfinished files are removed at once.
    ///
    /// # Errors
    ///
    /// If the disk fails.
    #[boxed]
    pub async fn abandoned(&self) -> Result<Vec<AbandonedStaging>> {
        let disk = self.clone();
        blocking(move || {
            let mut abandoned = Vec::new();
            for folder in disk.staging().lock_abandoned()? {
                abandoned.push(AbandonedStaging {
                    pending: list_pending(&folder, &disk)?,
                    folder,
                    disk: disk.clone(),
                });
            }
            Ok(abandoned)
        })
        .await
    }
}

impl AbandonedStaging {
    /// Removes the mark of an object, and the object too unless its row was committed.
    ///
    /// # Errors
    ///
    /// If the disk fails.
    #[boxed]
    pub async fn settle(&mut self, pending: &PendingObject, committed: bool) -> Result<()> {
        let (disk, settled) = (self.disk.clone(), pending.clone());
        blocking(move || {
            if !committed {
                disk.unlink(&settled.address.key)?;
            }
            remove_file(&settled.mark)
        })
        .await?;
        self.pending.retain(|other| other.mark != pending.mark);
        Ok(())
    }

    /// Unlocks the folder, and removes it if all its objects are settled.
    ///
    /// # Errors
    ///
    /// If the disk fails.
    #[boxed]
    pub async fn close(self) -> Result<()> {
        blocking(move || {
            if !self.pending.is_empty() {
                return Ok(());
            }
            match fs::remove_dir_all(&self.folder.path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error.into()),
                _ => Ok(()),
            }
        })
        .await
    }
}

fn list_pending(folder: &LockedFolder, disk: &Disk) -> Result<Vec<PendingObject>> {
    let mut pending = Vec::new();
    for mark in list_marks(&folder.path)? {
        let modified = fs::metadata(&mark.path)?.modified()?;
        pending.push(PendingObject {
            address: disk.address(mark.key),
            sha1: mark.sha1,
            age: modified.elapsed().unwrap_or_default(),
            mark: mark.path,
        });
    }
    Ok(pending)
}
