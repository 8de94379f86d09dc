//! Bytes that are where they will stay, and of which no row is known yet.

use std::{
    io::{self, Write as _},
    path::PathBuf,
    sync::Arc,
};

use domain::Address;

use crate::{
    Bucket, Disk, Error, Result,
    disk::remove_file,
    error::blocking,
    incoming::ReceivedBytes,
    staging::{StagedFile, Staging},
    uploads::{StagedUpload, StateFile},
};

/// Bytes that are where they will stay, marked until it is said whether a row points at them.
#[must_use = "the bytes stay marked until they are kept or discarded"]
#[derive(Debug)]
pub struct Placed {
    key: String,
    place: Place,
}

#[derive(Debug)]
enum Place {
    Disk {
        disk: Disk,
        mark: PathBuf,
        /// What keeps anybody from appending to the same bytes.
        _locked: Option<Arc<StateFile>>,
    },
    Bucket(Bucket),
}

/// Where bytes are before they are placed.
pub(crate) enum Origin {
    /// In a file that becomes the object.
    Staged(StagedFile),
    /// In a file that stays as well, so that a crash before the row is committed loses nothing.
    Upload(StagedUpload),
}

impl Origin {
    pub(crate) fn of(bytes: ReceivedBytes, staging: &Staging) -> Result<Self> {
        match bytes {
            ReceivedBytes::Staged(staged) => Ok(Self::Staged(staged)),
            ReceivedBytes::Upload(staged) => Ok(Self::Upload(staged)),
            ReceivedBytes::InMemory(bytes) => {
                let staged = staging.create()?;
                (&*staged.file).write_all(&bytes)?;
                Ok(Self::Staged(staged))
            }
            ReceivedBytes::Sending(_) | ReceivedBytes::Segments(_) => Err(Error::Unavailable(
                io::Error::other("what is in a bucket cannot be placed on a disk"),
            )),
        }
    }

    fn sync(&self) -> Result<()> {
        match self {
            Self::Staged(staged) => rustix::fs::fdatasync(&staged.file)?,
            Self::Upload(staged) => {
                if let Err(error) = rustix::fs::fdatasync(&staged.file) {
                    // The kernel tells of a write that failed once, and would not the next time.
                    staged.state.lose()?;
                    return Err(error.into());
                }
                if staged.state.read()?.is_lost {
                    return Err(io::Error::other("bytes were lost that had been written").into());
                }
            }
        }
        Ok(())
    }

    /// Gives the bytes the name under which they stay, and what keeps them as they are.
    fn name(self, disk: &Disk, key: &str) -> Result<Option<Arc<StateFile>>> {
        match self {
            Self::Staged(mut staged) => {
                disk.adopt(key, |path| std::fs::rename(&staged.path, path))?;
                staged.path = PathBuf::new();
                Ok(None)
            }
            Self::Upload(staged) => {
                disk.adopt(key, |path| std::fs::hard_link(&staged.path, path))?;
                Ok(Some(staged.state))
            }
        }
    }
}

impl Placed {
    pub(crate) fn on_disk(disk: Disk, origin: Origin, key: String) -> Result<Self> {
        origin.sync()?;
        let mark = disk.staging().mark(&key)?;
        match origin.name(&disk, &key) {
            Ok(locked) => Ok(Self {
                key,
                place: Place::Disk {
                    disk,
                    mark,
                    _locked: locked,
                },
            }),
            Err(error) => {
                // It may have been named already, and only the folder's sync has failed. What
                // cannot be removed either stays marked.
                let _ = disk.remove(&key).and_then(|()| remove_file(&mark));
                Err(error)
            }
        }
    }

    pub(crate) fn in_bucket(bucket: Bucket, key: String) -> Self {
        Self {
            key,
            place: Place::Bucket(bucket),
        }
    }

    /// Where the bytes are.
    #[must_use]
    pub fn address(&self) -> Address {
        match &self.place {
            Place::Disk { disk, .. } => disk.address(self.key.clone()),
            Place::Bucket(bucket) => bucket.address(self.key.clone()),
        }
    }

    /// Says that a row which points at the bytes is committed.
    pub async fn keep(self) {
        if let Place::Disk { mark, .. } = self.place {
            // A mark that cannot be removed says nothing that is still needed: who finds it finds
            // the row too.
            let _ = blocking(move || remove_file(&mark)).await;
        }
    }

    /// Removes the bytes, to which no row points.
    ///
    /// # Errors
    ///
    /// When the store fails; on a disk the bytes stay marked then, and go after this process.
    pub async fn discard(self) -> Result<()> {
        match self.place {
            Place::Disk { disk, mark, .. } => {
                blocking(move || {
                    disk.remove(&self.key)?;
                    remove_file(&mark)
                })
                .await
            }
            Place::Bucket(bucket) => bucket.remove(&self.key).await,
        }
    }
}
