//! Uploads that can be resumed.
//!
//! `uploads/<id>.part` has the bytes: how many they are is the upload's offset, so that a crash
//! cannot make the two disagree. `uploads/<id>.state` has the state of the hashes, so that nothing
//! is read again, and how many bytes are known to be on the disk, which are those that count after
//! a power failure; it is locked by whoever appends.

mod appending;
mod state;

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use domain::{Checksum, RandomId};

pub(crate) use appending::{DiskAppending, DiskEnd, DiskKept};
pub(crate) use state::StateFile;

use crate::{
    Appending, Disk, Error, Object, Result,
    disk::{self, remove_file},
    error::blocking,
    staged::Place,
};

const PART: &str = "part";
const STATE: &str = "state";

/// The bytes of an upload that nobody else can append to now.
pub(crate) struct StagedUpload {
    pub(crate) file: Arc<File>,
    pub(crate) path: PathBuf,
    pub(crate) state: Arc<StateFile>,
}

impl Disk {
    /// How many bytes of an upload are there; none if nothing of it is.
    ///
    /// It waits for nobody, also while bytes are being appended.
    ///
    /// # Errors
    ///
    /// When the disk fails.
    pub async fn staged(&self, id: RandomId) -> Result<u64> {
        let disk = self.clone();
        blocking(move || {
            // Before and after: what is taken back in between does not count.
            let before = size_of(&disk.part_of(id))?;
            let counting = StateFile::peek(&disk.state_of(id))?.counting;
            let after = size_of(&disk.part_of(id))?;
            Ok(before.min(after).min(counting.unwrap_or(u64::MAX)))
        })
        .await
    }

    /// Goes on with an upload, whose bytes from here on are to have these checksums.
    ///
    /// # Errors
    ///
    /// [`Error::InUse`](crate::Error::InUse) when somebody else is appending, and does not stop.
    pub async fn append(&self, id: RandomId, checksums: Vec<Checksum>) -> Result<Appending> {
        let disk = self.clone();
        blocking(move || {
            let path = disk.part_of(id);
            let mut state = StateFile::lock(&disk.state_of(id))?;
            let mut said = state.read()?;
            if said.is_lost {
                // New files, of which nothing is noted that was meant for these.
                remove_file(&path)?;
                remove_file(&disk.state_of(id))?;
                state = StateFile::lock(&disk.state_of(id))?;
                said = state.read()?;
            }
            let file = OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .open(&path)?;
            if file.metadata()?.nlink() > 1 {
                // It is an object as well, and not known yet whether it is to stay one.
                return Err(Error::InUse);
            }
            let staged = StagedUpload {
                file: Arc::new(file),
                path,
                state: Arc::new(state),
            };
            DiskAppending::begin(disk, staged, said, checksums)
        })
        .await
        .map(|appending| Appending(Place::Disk(Box::new(appending))))
    }

    /// Opens what was staged of an upload, all of which is on the disk then, to read it.
    ///
    /// # Errors
    ///
    /// As [`Disk::open_object`].
    pub async fn open_staged(&self, id: RandomId, size: u64, start: u64) -> Result<Object> {
        let disk = self.clone();
        blocking(move || {
            let path = disk.part_of(id);
            if let Ok(file) = File::open(&path) {
                rustix::fs::fdatasync(file)?;
            }
            let counting = StateFile::peek(&disk.state_of(id))?.counting;
            if counting.is_some_and(|counting| counting < size) {
                return Err(Error::Missing(id.to_string()));
            }
            disk::open(&path, &id.to_string(), size, start)
        })
        .await
    }

    /// Whether anything is there of an upload.
    ///
    /// # Errors
    ///
    /// When the disk fails.
    pub async fn has_staged(&self, id: RandomId) -> Result<bool> {
        let disk = self.clone();
        blocking(move || Ok(disk.part_of(id).try_exists()? || disk.state_of(id).try_exists()?))
            .await
    }

    /// Removes what is there of an upload.
    ///
    /// # Errors
    ///
    /// [`Error::InUse`](crate::Error::InUse) when somebody is appending, and does not stop.
    pub async fn remove_staged(&self, id: RandomId) -> Result<()> {
        let disk = self.clone();
        blocking(move || {
            let (part, state) = (disk.part_of(id), disk.state_of(id));
            if !part.exists() && !state.exists() {
                return Ok(());
            }
            let _locked = StateFile::lock(&state)?;
            remove_file(&part)?;
            remove_file(&state)
        })
        .await
    }

    /// The uploads of which anything is there.
    ///
    /// # Errors
    ///
    /// When the disk fails.
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

    fn part_of(&self, id: RandomId) -> PathBuf {
        self.uploads().join(id.to_string()).with_extension(PART)
    }

    fn state_of(&self, id: RandomId) -> PathBuf {
        self.uploads().join(id.to_string()).with_extension(STATE)
    }
}

fn size_of(path: &Path) -> Result<u64> {
    match fs::metadata(path) {
        Ok(metadata) => Ok(metadata.len()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests;
