//! The folder of what is on its way into the store.
//!
//! Each process has a folder of its own there, with a file that it keeps locked as long as it
//! lives; a folder whose file can be locked is one whose process is gone. In it are the bytes that
//! are arriving (`*.part`), and an empty mark (`*.pending`) for each object whose row may not be
//! committed yet.

use std::{
    collections::HashSet,
    ffi::OsStr,
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use domain::{Address, Sha1};

use crate::{Disk, Result, disk::remove_file, error::blocking, key};

const LOCK: &str = "lock";
const PART: &str = "part";
const PENDING: &str = "pending";

/// This process's folder.
#[derive(Debug)]
pub(crate) struct Staging {
    all: PathBuf,
    own: PathBuf,
    _alive: File,
}

/// The folder of a process that is gone, held so that no other process takes care of it.
#[derive(Debug)]
pub struct Abandoned {
    folder: PathBuf,
    disk: Disk,
    _held: File,
    /// The objects that it placed, and of which it may have committed the row or not.
    pub pending: Vec<Pending>,
}

/// An object whose row may or may not have been committed when its process ended.
#[derive(Debug, Clone)]
pub struct Pending {
    /// Where the object is, if it was placed.
    pub address: Address,
    /// The content that it is a copy of.
    pub sha1: Sha1,
    /// How long ago it was placed.
    pub age: Duration,
    mark: PathBuf,
}

impl Staging {
    pub(crate) fn open(all: &Path) -> Result<Self> {
        fs::create_dir_all(all)?;
        loop {
            let own = all.join(random_name()?);
            fs::create_dir(&own)?;
            let lock = own.join(LOCK);
            // Until it is locked the folder looks abandoned, and may be removed by another.
            let alive = match File::create(&lock) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                created => created?,
            };
            alive.lock()?;
            if lock.exists() {
                return Ok(Self {
                    all: all.to_owned(),
                    own,
                    _alive: alive,
                });
            }
        }
    }

    /// Makes a file for bytes that arrive.
    pub(crate) fn create(&self) -> Result<StagedFile> {
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

    /// Marks an object as one whose row is not committed yet.
    pub(crate) fn mark(&self, key: &str) -> Result<PathBuf> {
        let mark = self.own.join(key::file_name(key)).with_extension(PENDING);
        File::create(&mark)?;
        Ok(mark)
    }

    pub(crate) fn probe(&self) -> Result<()> {
        let probe = self.create()?;
        (&*probe.file).write_all(&[0; 4096])?;
        Ok(())
    }

    fn folders(&self) -> Result<Vec<PathBuf>> {
        let mut folders = Vec::new();
        for entry in fs::read_dir(&self.all)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                folders.push(entry.path());
            }
        }
        Ok(folders)
    }

    pub(crate) fn pending(&self, store: &str) -> Result<HashSet<Address>> {
        let mut pending = HashSet::new();
        for folder in self.folders()? {
            for mark in files_with_extension(&folder, PENDING)? {
                if let Some((key, _)) = marked(&mark) {
                    pending.insert(Address {
                        store: store.to_owned(),
                        key,
                    });
                }
            }
        }
        Ok(pending)
    }

    pub(crate) fn abandoned(&self, disk: &Disk) -> Result<Vec<Abandoned>> {
        let mut abandoned = Vec::new();
        for folder in self.folders()? {
            if folder == self.own {
                continue;
            }
            if let Some(held) = hold(&folder)? {
                for part in files_with_extension(&folder, PART)? {
                    remove_file(&part)?;
                }
                abandoned.push(Abandoned {
                    pending: list_pending(&folder, disk)?,
                    folder,
                    disk: disk.clone(),
                    _held: held,
                });
            }
        }
        Ok(abandoned)
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        // An empty folder goes with its process; one with marks is for the next to look at.
        if files_with_extension(&self.own, PENDING).is_ok_and(|marks| marks.is_empty()) {
            // What cannot be removed now is removed when the next process starts.
            let _ = fs::remove_dir_all(&self.own);
        }
    }
}

impl Abandoned {
    /// Says of an object whether a row that points at it was committed; if not, it is removed.
    ///
    /// # Errors
    ///
    /// When the disk fails.
    pub async fn settle(&mut self, pending: &Pending, committed: bool) -> Result<()> {
        let (disk, settled) = (self.disk.clone(), pending.clone());
        blocking(move || {
            if !committed {
                disk.remove(&settled.address.key)?;
            }
            remove_file(&settled.mark)
        })
        .await?;
        self.pending.retain(|other| other.mark != pending.mark);
        Ok(())
    }

    /// Ends taking care of the folder; it is removed when nothing in it is unsettled.
    ///
    /// # Errors
    ///
    /// When the disk fails.
    pub async fn close(self) -> Result<()> {
        blocking(move || {
            if !self.pending.is_empty() {
                return Ok(());
            }
            match fs::remove_dir_all(&self.folder) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error.into()),
                _ => Ok(()),
            }
        })
        .await
    }
}

/// Bytes that are arriving; removed when dropped, unless they were given another name.
#[derive(Debug)]
pub(crate) struct StagedFile {
    pub(crate) file: Arc<File>,
    pub(crate) path: PathBuf,
}

impl Drop for StagedFile {
    fn drop(&mut self) {
        let path = std::mem::take(&mut self.path);
        if path.as_os_str().is_empty() {
            return;
        }
        // Removing a large file takes a while. What cannot be removed is, after this process.
        let remove = move || {
            let _ = fs::remove_file(path);
        };
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(remove)),
            Err(_) => remove(),
        }
    }
}

/// Locks the folder of a process that is gone; `None` if the process is alive.
fn hold(folder: &Path) -> Result<Option<File>> {
    let lock = match File::open(folder.join(LOCK)) {
        Ok(lock) => lock,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            // Its process ended, or is, between making the folder and the file in it. The latter
            // makes another one.
            let _ = fs::remove_dir(folder);
            return Ok(None);
        }
        Err(error) => return Err(error.into()),
    };
    match lock.try_lock() {
        // Another process may have taken care of it, and removed it, since it was opened.
        Ok(()) => Ok(Some(lock).filter(|_| folder.join(LOCK).exists())),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error.into()),
    }
}

fn list_pending(folder: &Path, disk: &Disk) -> Result<Vec<Pending>> {
    let mut pending = Vec::new();
    for mark in files_with_extension(folder, PENDING)? {
        let Some((key, sha1)) = marked(&mark) else {
            continue;
        };
        let modified = fs::metadata(&mark)?.modified()?;
        pending.push(Pending {
            address: disk.address(key),
            sha1,
            age: modified.elapsed().unwrap_or_default(),
            mark,
        });
    }
    Ok(pending)
}

/// The key and the content that a mark is for.
fn marked(mark: &Path) -> Option<(String, Sha1)> {
    key::of_file_name(mark.file_stem()?.to_str()?)
}

fn files_with_extension(folder: &Path, extension: &str) -> Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error.into()),
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.extension() == Some(OsStr::new(extension)) {
            files.push(path);
        }
    }
    Ok(files)
}

fn random_name() -> io::Result<String> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(io::Error::other)?;
    Ok(format!("{:032x}", u128::from_ne_bytes(bytes)))
}
