//! What tells a disk's folder from any other, such as an empty one where a disk is not mounted.

use std::{
    fs,
    io::{self, Write as _},
    path::Path,
};

use domain::RandomId;

use crate::{
    Disk, Error, Result,
    disk::{remove_file, sync_folder},
    error::blocking,
};

impl Disk {
    /// Reads what the folder is told by from others; `None` if it was never told.
    ///
    /// # Errors
    ///
    /// When the disk fails, or the file is not the service's.
    pub async fn identity(&self) -> Result<Option<RandomId>> {
        let disk = self.clone();
        blocking(move || read(&disk.identity_file())).await
    }

    /// Tells the folder from others, unless it is; gives what it is told by then.
    ///
    /// # Errors
    ///
    /// When the disk fails.
    pub async fn identify(&self, identity: RandomId) -> Result<RandomId> {
        let disk = self.clone();
        blocking(move || give(&disk.identity_file(), identity)).await
    }
}

fn read(path: &Path) -> Result<Option<RandomId>> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let unreadable = |error| {
        let reason = format!("{}: {error}", path.display());
        Error::Unavailable(io::Error::other(reason))
    };
    text.trim().parse().map(Some).map_err(unreadable)
}

/// The file gets its name when it is whole; of several processes that give one, one does.
fn give(path: &Path, identity: RandomId) -> Result<RandomId> {
    let whole = path.with_extension(identity.to_string());
    let mut file = fs::File::create(&whole)?;
    writeln!(file, "{identity}")?;
    file.sync_all()?;
    let named = fs::hard_link(&whole, path);
    remove_file(&whole)?;
    match named {
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
    fn a_folder_is_told_by_what_it_was_given_first() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("identity");
        let (first, second) = (RandomId::from([1; 16]), RandomId::from([2; 16]));
        assert_eq!(read(&path).unwrap(), None);
        assert_eq!(give(&path, first).unwrap(), first);
        assert_eq!(give(&path, second).unwrap(), first);
        assert_eq!(read(&path).unwrap(), Some(first));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        fs::write(&path, "").unwrap();
        assert!(read(&path).is_err());
    }
}
