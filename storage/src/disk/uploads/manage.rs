//! Inspecting, reading and removing resumable uploads.

use std::{
    fs::{self, File, TryLockError},
    io,
    path::PathBuf,
    time::Duration,
};

use domain::RandomId;

use super::{
    staged::{part_path, size_of, state_path},
    state::StateFile,
};
use crate::{
    blocking::blocking,
    boxed,
    disk::{
        files::remove_file,
        layout::Disk,
        object::{self, DiskObject},
    },
    error::{Error, Result},
};

impl Disk {
    /// Returns the offset of an upload: the number of its bytes that count, 0 if it has no files.
    ///
    /// It needs no lock, so it works while bytes are being appended.
    ///
    /// # Errors
    ///
    /// If the disk fails.
    #[boxed]
    pub async fn staged(&self, id: RandomId) -> Result<u64> {
        let disk = self.clone();
        blocking(move || {
            // The size is read twice: bytes that are dropped in between do not count.
            let before = size_of(&part_path(&disk, id))?;
            let counting = StateFile::peek(&state_path(&disk, id))?.counting;
            let after = size_of(&part_path(&disk, id))?;
            Ok(before.min(after).min(counting.unwrap_or(u64::MAX)))
        })
        .await
    }

    /// Returns the time since an upload's files were last changed; `None` if it has none.
    ///
    /// # Errors
    ///
    /// If the disk fails.
    #[boxed]
    pub async fn staged_age(&self, id: RandomId) -> Result<Option<Duration>> {
        let disk = self.clone();
        blocking(move || {
            let mut youngest: Option<Duration> = None;
            for path in [part_path(&disk, id), state_path(&disk, id)] {
                let modified = match fs::metadata(path) {
                    Ok(metadata) => metadata.modified()?,
                    Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                    Err(error) => return Err(error.into()),
                };
                // A time in the future is one of now.
                let age = modified.elapsed().unwrap_or_default();
                youngest = Some(youngest.map_or(age, |other| other.min(age)));
            }
            Ok(youngest)
        })
        .await
    }

    /// Syncs the bytes of an upload, and opens them for reading.
    ///
    /// # Errors
    ///
    /// As [`Disk::open_object`].
    #[boxed]
    pub async fn open_staged(&self, id: RandomId, size: u64, start: u64) -> Result<DiskObject> {
        let disk = self.clone();
        blocking(move || {
            let path = part_path(&disk, id);
            if let Ok(file) = File::open(&path) {
                rustix::fs::fdatasync(file)?;
            }
            let counting = StateFile::peek(&state_path(&disk, id))?.counting;
            if counting.is_some_and(|counting| counting < size) {
                return Err(Error::Missing(id.to_string()));
            }
            object::open(&path, &id.to_string(), size, start, disk.memory())
        })
        .await
    }

    /// Returns whether an upload has files.
    ///
    /// # Errors
    ///
    /// If the disk fails.
    #[boxed]
    pub async fn has_staged(&self, id: RandomId) -> Result<bool> {
        let disk = self.clone();
        blocking(move || {
            Ok(part_path(&disk, id).try_exists()? || state_path(&disk, id).try_exists()?)
        })
        .await
    }

    /// Returns whether a request has locked an upload, in this process or another one.
    ///
    /// # Errors
    ///
    /// If the disk fails.
    #[boxed]
    pub async fn is_staged_locked(&self, id: RandomId) -> Result<bool> {
        let disk = self.clone();
        blocking(move || match File::open(state_path(&disk, id)) {
            Ok(state) => match state.try_lock_shared() {
                Ok(()) => Ok(false),
                Err(TryLockError::WouldBlock) => Ok(true),
                Err(TryLockError::Error(error)) => Err(error.into()),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error.into()),
        })
        .await
    }

    /// Removes the files of an upload. It is no error if there are none.
    ///
    /// # Errors
    ///
    /// [`Error::InUse`] if another request is appending, and does not stop in time.
    #[boxed]
    pub async fn remove_staged(&self, id: RandomId) -> Result<()> {
        let disk = self.clone();
        blocking(move || {
            let (part, state) = (part_path(&disk, id), state_path(&disk, id));
            if !part.exists() && !state.exists() {
                return Ok(());
            }
            let _lock = StateFile::lock(&state)?;
            remove_file(&part)?;
            remove_file(&state)
        })
        .await
    }

    /// Lists the uploads that have files.
    ///
    /// # Errors
    ///
    /// If the disk fails.
    #[boxed]
    pub async fn list_staged(&self) -> Result<Vec<RandomId>> {
        let disk = self.clone();
        blocking(move || {
            let mut ids = Vec::new();
            for entry in fs::read_dir(disk.uploads())? {
                let path = PathBuf::from(entry?.file_name());
                let stem = path.file_stem().and_then(|stem| stem.to_str());
                ids.extend(stem.and_then(|stem| stem.parse::<RandomId>().ok()));
            }
            ids.sort_unstable();
            ids.dedup();
            Ok(ids)
        })
        .await
    }
}
