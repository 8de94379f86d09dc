//! The file of a SQLite database.

use std::{
    fs::{self, OpenOptions},
    io,
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use crate::error::{Error, Result};

/// The permissions of others, which a database of names and tokens does not grant.
const OTHERS: u32 = 0o007;

/// The file of a SQLite database, as it was when it was opened.
#[derive(Clone, Debug)]
pub(crate) struct DatabaseFile {
    path: PathBuf,
    /// The device and the number of the file.
    identity: (u64, u64),
}

impl DatabaseFile {
    /// Creates the file if it does not exist; only its owner can read it then. Takes the permissions of
    /// others from one that exists.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let unusable =
            |error: io::Error| Error::Unusable(format!("the database {}: {error}", path.display()));
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)
            .map_err(unusable)?;
        let metadata = file.metadata().map_err(unusable)?;
        let mut permissions = metadata.permissions();
        if permissions.mode() & OTHERS != 0 {
            permissions.set_mode(permissions.mode() & !OTHERS);
            // A file of another user stays as it is.
            let _ = file.set_permissions(permissions);
        }
        Ok(Self {
            path: path.to_owned(),
            identity: (metadata.dev(), metadata.ino()),
        })
    }

    /// Checks that the file is still at its path.
    ///
    /// # Errors
    ///
    /// [`Error::Unusable`] if it was removed or replaced.
    pub(crate) fn verify(&self) -> Result<()> {
        match fs::metadata(&self.path) {
            Ok(metadata) if (metadata.dev(), metadata.ino()) == self.identity => Ok(()),
            _ => Err(Error::Unusable(format!(
                "the database {} was removed or replaced while it was in use",
                self.path.display()
            ))),
        }
    }
}
