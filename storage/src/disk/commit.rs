//! Turning staged bytes into an object: synced, marked, and under its final key.

use std::{
    fs,
    io::{self, Write as _},
    path::PathBuf,
    sync::Arc,
};

use bytes::Bytes;
use domain::{Address, Sha1};

use super::{
    files::remove_file,
    key,
    layout::Disk,
    staging::StagedFile,
    uploads::{staged::StagedUpload, state::StateFile},
};
use crate::{blocking::blocking, error::Result, metrics::Operation};

/// The staged bytes of an object.
pub(crate) enum ObjectSource {
    /// Few enough to be kept in memory until the content is known to be new.
    InMemory(Bytes),
    /// In a file that becomes the object.
    File(StagedFile),
    /// In the file of a resumable upload, which stays until the row is committed, so that a crash
    /// loses nothing.
    Upload(StagedUpload),
}

/// An object that is marked as long as its row may not be committed.
#[derive(Debug)]
pub(crate) struct UncommittedFile {
    disk: Disk,
    key: String,
    mark: PathBuf,
    /// Keeps other requests from appending to the same bytes.
    _upload_lock: Option<Arc<StateFile>>,
}

/// A file with the staged bytes of an object.
enum FileSource {
    Staged(StagedFile),
    Upload(StagedUpload),
}

impl Disk {
    /// Creates a key for a new object with this content.
    pub(crate) fn fresh_key(sha1: &Sha1) -> Result<String> {
        Ok(key::fresh(sha1)?)
    }

    /// Syncs and marks the bytes, and moves them to their final key.
    pub(crate) async fn persist(
        &self,
        source: ObjectSource,
        key: String,
    ) -> Result<UncommittedFile> {
        let disk = self.clone();
        let persisting = blocking(move || {
            let source = source.into_file(&disk)?;
            persist(disk, source, key)
        });
        self.metrics().time(Operation::Write, persisting).await
    }
}

fn persist(disk: Disk, source: FileSource, key: String) -> Result<UncommittedFile> {
    source.sync()?;
    let mark = disk.staging().mark(&key)?;
    match source.name(&disk, &key) {
        Ok(upload_lock) => Ok(UncommittedFile {
            disk,
            key,
            mark,
            _upload_lock: upload_lock,
        }),
        Err(error) => {
            // The file may have its name already, if only the sync of its folder failed. If it
            // cannot be removed either, it stays marked.
            let _ = disk.unlink(&key).and_then(|()| remove_file(&mark));
            Err(error)
        }
    }
}

impl ObjectSource {
    fn into_file(self, disk: &Disk) -> Result<FileSource> {
        match self {
            Self::File(staged) => Ok(FileSource::Staged(staged)),
            Self::Upload(staged) => Ok(FileSource::Upload(staged)),
            Self::InMemory(bytes) => {
                let staged = disk.staging().create_file()?;
                disk.reserve().leave_free(&staged.file, bytes.len())?;
                (&*staged.file).write_all(&bytes)?;
                Ok(FileSource::Staged(staged))
            }
        }
    }
}

impl FileSource {
    fn sync(&self) -> Result<()> {
        match self {
            Self::Staged(staged) => rustix::fs::fdatasync(&staged.file)?,
            Self::Upload(staged) => {
                if let Err(error) = rustix::fs::fdatasync(&staged.file) {
                    // The kernel reports a failed write once, and not to the next sync.
                    staged.state.mark_lost()?;
                    return Err(error.into());
                }
                if staged.state.read()?.is_lost {
                    return Err(io::Error::other("written bytes were lost").into());
                }
            }
        }
        Ok(())
    }

    /// Gives the file the name of the object. Returns the lock that keeps others from changing it.
    fn name(self, disk: &Disk, key: &str) -> Result<Option<Arc<StateFile>>> {
        match self {
            Self::Staged(mut staged) => {
                disk.adopt(key, |path| fs::rename(&staged.path, path))?;
                staged.path = PathBuf::new();
                Ok(None)
            }
            Self::Upload(staged) => {
                disk.adopt(key, |path| fs::hard_link(&staged.path, path))?;
                Ok(Some(staged.state))
            }
        }
    }
}

impl UncommittedFile {
    pub(crate) fn address(&self) -> Address {
        self.disk.address(self.key.clone())
    }

    /// Removes the mark, since a row that points at the object is committed.
    pub(crate) async fn commit(self) {
        // A mark that cannot be removed does no harm: cleaning up finds the row too.
        let _ = blocking(move || remove_file(&self.mark)).await;
    }

    /// Removes the object, to which no row points.
    ///
    /// If this fails, the object stays marked, and is removed after this process has ended.
    pub(crate) async fn discard(self) -> Result<()> {
        blocking(move || {
            self.disk.unlink(&self.key)?;
            remove_file(&self.mark)
        })
        .await
    }
}
