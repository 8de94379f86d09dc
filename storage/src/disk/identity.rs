//! The identity of a store's folder.
//!
//! It tells the folder from any other, such as the empty folder of a disk that is not mounted.

use std::{
    fs,
    io::{self, Write as _},
    path::Path,
};

use domain::RandomId;

use super::{
    files::{remove_file, sync_folder},
    layout::Disk,
};
use crate::{
    blocking::blocking,
    boxed,
    error::{Error, Result},
};

impl Disk {
    /// Reads the folder's identity; `None` if it has none yet.
    ///
    /// # Errors
    ///
    /// If the disk fails, or the file does not contain an identity.
    #[boxed]
    pub async fn identity(&self) -> Result<Option<RandomId>> {
        let disk = self.clone();
        blocking(move || read(&disk.identity_file())).await
    }

    /// Assigns an identity to the folder unless it has one. Returns the folder's identity.
    ///
    /// # Errors
    ///
    /// If the disk fails.
    #[boxed]
    pub async fn ensure_identity(&self, identity: RandomId) -> Result<RandomId> {
        let disk = self.clone();
        blocking(move || ensure(&disk.identity_file(), identity)).await
    }
}

fn read(path: &Path) -> Result<Option<RandomId>> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let malformed = |error| {
        let reason = format!("{}: {error}", path.display());
        Error::Unavailable(io::Error::other(reason))
    };
    text.trim().parse().map(Some).map_err(malformed)
}

/// Creates the identity file. It gets its name once it is complete, and if several processes do so
/// at once, one of them wins.
fn ensure(path: &Path, identity: RandomId) -> Result<RandomId> {
    let temporary = path.with_extension(identity.to_string());
    let mut file = fs::File::create(&temporary)?;
    writeln!(file, "{identity}")?;
    file.sync_all()?;
    let linked = fs::hard_link(&temporary, path);
    remove_file(&temporary)?;
    match linked {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error.into()),
        _ => {}
    }
    path.parent().map_or(Ok(()), sync_folder)?;
    Ok(read(path)?.unwrap_or(identity))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_keeps_its_first_identity() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("identity");
        let (first, second) = (RandomId::from([1; 16]), RandomId::from([2; 16]));
        assert_eq!(read(&path).unwrap(), None);
        assert_eq!(ensure(&path, first).unwrap(), first);
        assert_eq!(ensure(&path, second).unwrap(), first);
        assert_eq!(read(&path).unwrap(), Some(first));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        fs::write(&path, "").unwrap();
        assert!(read(&path).is_err());
    }
}
