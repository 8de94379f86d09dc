//! The files of a resumable upload.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use domain::RandomId;

use super::state::{PART, State, StateFile};
use crate::{
    disk::{files::remove_file, layout::Disk},
    error::Result,
};

/// The extension of the file with the state.
const STATE: &str = "state";

/// The bytes of an upload, locked so that no other request appends to them.
pub(crate) struct StagedUpload {
    pub(in crate::disk) file: Arc<File>,
    pub(in crate::disk) path: PathBuf,
    pub(in crate::disk) state: Arc<StateFile>,
}

impl StagedUpload {
    /// Opens and locks the files of an upload, and creates them if they do not exist.
    pub(super) fn open(disk: &Disk, id: RandomId) -> Result<(Self, State)> {
        let path = part_path(disk, id);
        let mut lock = StateFile::lock(&state_path(disk, id))?;
        let mut state = lock.read()?;
        if state.is_lost {
            // New files, which no pending sync of the old ones can write to.
            remove_file(&path)?;
            remove_file(&state_path(disk, id))?;
            lock = StateFile::lock(&state_path(disk, id))?;
            state = lock.read()?;
        }
        let mut file = open_or_create(&path)?;
        if file.metadata()?.nlink() > 1 {
            file = separate(disk, &file, &path)?;
        }
        let staged = Self {
            file: Arc::new(file),
            path,
            state: Arc::new(lock),
        };
        Ok((staged, state))
    }
}

fn open_or_create(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    let options = options.read(true).write(true).create(true);
    options.truncate(false).open(path)
}

/// Gives an upload a file of its own: its process ended when the file had become an object, which may
/// have a row or not, and must not change.
fn separate(disk: &Disk, shared: &File, path: &Path) -> Result<File> {
    let mut staged = disk.staging().create_file()?;
    io::copy(&mut &*shared, &mut &*staged.file)?;
    // The state says which bytes are on the disk.
    rustix::fs::fdatasync(&staged.file)?;
    fs::rename(&staged.path, path)?;
    staged.path = PathBuf::new();
    Ok(open_or_create(path)?)
}

/// The path of the file with an upload's bytes.
pub(super) fn part_path(disk: &Disk, id: RandomId) -> PathBuf {
    disk.uploads().join(id.to_string()).with_extension(PART)
}

/// The path of the file with an upload's state.
pub(super) fn state_path(disk: &Disk, id: RandomId) -> PathBuf {
    disk.uploads().join(id.to_string()).with_extension(STATE)
}

/// The size of a file; 0 if it does not exist.
pub(super) fn size_of(path: &Path) -> Result<u64> {
    match fs::metadata(path) {
        Ok(metadata) => Ok(metadata.len()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
        Err(error) => Err(error.into()),
    }
}
