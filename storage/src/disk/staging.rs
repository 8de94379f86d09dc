//! The staging folder of a disk.
//!
//! Each process has a folder of its own in it, with a file that it keeps locked while it lives. If
//! that file can be locked, the folder's process has died. The folder contains arriving bytes
//! (`*.part`), and an empty mark (`*.pending`) for each object whose row may not be committed yet.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use domain::Sha1;

use super::{
    files::{list_by_extension, remove_file},
    key,
    reserve::Reserve,
};
use crate::error::Result;

const LOCK: &str = "lock";
const PART: &str = "part";
const PENDING: &str = "pending";

/// This process's folder.
#[derive(Debug)]
pub(super) struct StagingFolder {
    /// The folder of the folders of all processes.
    all: PathBuf,
    own: PathBuf,
    _lock: File,
}

/// The folder of a dead process, locked so that no other process cleans it up.
#[derive(Debug)]
pub(super) struct LockedFolder {
    pub(super) path: PathBuf,
    _lock: File,
}

/// The mark of an object whose row may not be committed.
#[derive(Debug)]
pub(super) struct Mark {
    pub(super) path: PathBuf,
    pub(super) key: String,
    pub(super) sha1: Sha1,
}

impl StagingFolder {
    /// Creates a folder for this process.
    pub(super) fn create(all: &Path) -> Result<Self> {
        fs::create_dir_all(all)?;
        loop {
            let own = all.join(random_name()?);
            fs::create_dir(&own)?;
            let path = own.join(LOCK);
            // Until it is locked the folder looks abandoned, and another process may remove it.
            let lock = match File::create(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                created => created?,
            };
            lock.lock()?;
            if path.exists() {
                return Ok(Self {
                    all: all.to_owned(),
                    own,
                    _lock: lock,
                });
            }
        }
    }

    /// Creates a file for arriving bytes.
    pub(super) fn create_file(&self) -> Result<StagedFile> {
        let path = self.own.join(random_name()?).with_extension(PART);
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&path)?;
        Ok(StagedFile {
            file: Arc::new(file),
            path,
        })
    }

    /// Marks an object as one whose row is not committed yet. Returns the path of the mark.
    pub(super) fn mark(&self, key: &str) -> Result<PathBuf> {
        let mark = self.own.join(key::file_name(key)).with_extension(PENDING);
        File::create(&mark)?;
        Ok(mark)
    }

    /// Writes a block, and removes it. The smallest upload needs as much beyond the reserve.
    pub(super) fn probe(&self, reserve: Reserve) -> Result<()> {
        const BLOCK: [u8; 4096] = [0; 4096];
        let probe = self.create_file()?;
        reserve.leave_free(&probe.file, BLOCK.len())?;
        (&*probe.file).write_all(&BLOCK)?;
        Ok(())
    }

    /// Lists the keys of the marked objects of all processes.
    pub(super) fn list_pending_keys(&self) -> Result<Vec<String>> {
        let mut keys = Vec::new();
        for folder in self.list_folders()? {
            keys.extend(list_marks(&folder)?.into_iter().map(|mark| mark.key));
        }
        Ok(keys)
    }

    /// Locks the folders of dead processes, and removes the unfinished files in them.
    pub(super) fn lock_abandoned(&self) -> Result<Vec<LockedFolder>> {
        let mut abandoned = Vec::new();
        for path in self.list_folders()? {
            if path == self.own {
                continue;
            }
            if let Some(lock) = lock_if_abandoned(&path)? {
                for part in list_by_extension(&path, PART)? {
                    remove_file(&part)?;
                }
                abandoned.push(LockedFolder { path, _lock: lock });
            }
        }
        Ok(abandoned)
    }

    fn list_folders(&self) -> Result<Vec<PathBuf>> {
        let mut folders = Vec::new();
        for entry in fs::read_dir(&self.all)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                folders.push(entry.path());
            }
        }
        Ok(folders)
    }
}

impl Drop for StagingFolder {
    fn drop(&mut self) {
        // An empty folder is removed with its process. A later process settles one with marks.
        if list_by_extension(&self.own, PENDING).is_ok_and(|marks| marks.is_empty()) {
            // If this fails, the next process to start removes the folder.
            let _ = fs::remove_dir_all(&self.own);
        }
    }
}

/// A file for arriving bytes. It is removed when dropped, unless it was renamed.
#[derive(Debug)]
pub(crate) struct StagedFile {
    pub(super) file: Arc<File>,
    /// Empty once the file has been renamed.
    pub(super) path: PathBuf,
}

impl Drop for StagedFile {
    fn drop(&mut self) {
        let path = std::mem::take(&mut self.path);
        if path.as_os_str().is_empty() {
            return;
        }
        // Removing a large file takes a while. If it fails, a later process removes the file.
        let remove = move || {
            let _ = fs::remove_file(path);
        };
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(remove)),
            Err(_) => remove(),
        }
    }
}

/// Lists the marks in the folder of a process.
pub(super) fn list_marks(folder: &Path) -> Result<Vec<Mark>> {
    let paths = list_by_extension(folder, PENDING)?.into_iter();
    let marks = paths.filter_map(|path| {
        let (key, sha1) = key::of_file_name(path.file_stem()?.to_str()?)?;
        Some(Mark { path, key, sha1 })
    });
    Ok(marks.collect())
}

/// Locks the folder of a dead process; `None` if the process is alive.
fn lock_if_abandoned(folder: &Path) -> Result<Option<File>> {
    let lock = match File::open(folder.join(LOCK)) {
        Ok(lock) => lock,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            // The process died, or is right now, between creating the folder and the file in it. In
            // the latter case it creates another folder.
            let _ = fs::remove_dir(folder);
            return Ok(None);
        }
        Err(error) => return Err(error.into()),
    };
    match lock.try_lock() {
        // Another process may have cleaned up and removed the folder since the file was opened.
        Ok(()) => Ok(Some(lock).filter(|_| folder.join(LOCK).exists())),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error.into()),
    }
}

fn random_name() -> io::Result<String> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(io::Error::other)?;
    Ok(format!("{:032x}", u128::from_ne_bytes(bytes)))
}
