//! Operations on the objects of a disk.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::FileExt as _,
    path::PathBuf,
    time::Duration,
};

use domain::{Address, ByteRange, Sha1};

use super::{
    files::{remove_file, sync_folder},
    key,
    layout::Disk,
    object::{self, DiskObject},
};
use crate::{
    blocking::blocking,
    boxed,
    error::{Error, Result},
    metrics::Operation,
};

/// The files in one of the store's folders.
#[derive(Debug, Default)]
pub struct Listing {
    /// The objects.
    pub objects: Vec<StoredObject>,
    /// The paths of files that the service did not create.
    pub foreign_files: Vec<PathBuf>,
}

/// An object in a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredObject {
    /// The object's store and key.
    pub address: Address,
    /// The SHA-1 of its content, according to its name.
    pub sha1: Sha1,
}

impl Disk {
    /// Opens an object, and reads its first bytes from `start` on.
    ///
    /// # Errors
    ///
    /// [`Error::Missing`] if the object does not exist, [`Error::WrongSize`] if it does not have
    /// `size` bytes.
    #[boxed]
    pub async fn open_object(&self, key: &str, size: u64, start: u64) -> Result<DiskObject> {
        let path = self.path(key)?;
        let key = key.to_owned();
        let memory = self.memory().clone();
        let opening = blocking(move || object::open(&path, &key, size, start, &memory));
        self.metrics().time(Operation::Read, opening).await
    }

    /// Returns the size of an object in bytes, or `None` if it does not exist.
    ///
    /// # Errors
    ///
    /// If the disk fails.
    #[boxed]
    pub async fn size(&self, key: &str) -> Result<Option<u64>> {
        let Ok(path) = self.path(key) else {
            return Ok(None);
        };
        let stat = blocking(move || match fs::metadata(path) {
            Ok(metadata) => Ok(Some(metadata.len())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.into()),
        });
        self.metrics().time(Operation::Stat, stat).await
    }

    /// Returns the time since an object was written, or `None` if it does not exist.
    ///
    /// # Errors
    ///
    /// If the disk fails.
    #[boxed]
    pub async fn age(&self, key: &str) -> Result<Option<Duration>> {
        let path = self.path(key)?;
        blocking(move || match fs::metadata(path) {
            Ok(metadata) => Ok(Some(metadata.modified()?.elapsed().unwrap_or_default())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.into()),
        })
        .await
    }

    /// Lists the objects of the contents whose SHA-1 ends in this byte.
    ///
    /// # Errors
    ///
    /// If the disk fails.
    #[boxed]
    pub async fn list(&self, last_byte: u8) -> Result<Listing> {
        let disk = self.clone();
        let listing = blocking(move || disk.list_folder(last_byte));
        self.metrics().time(Operation::List, listing).await
    }

    /// Returns whether the disk has any object, or bytes of an unfinished upload.
    ///
    /// # Errors
    ///
    /// If the disk fails.
    #[boxed]
    pub async fn has_bytes(&self) -> Result<bool> {
        if !self.list_staged().await?.is_empty() {
            return Ok(true);
        }
        for last_byte in 0..=u8::MAX {
            if !self.list(last_byte).await?.objects.is_empty() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Removes an object, and syncs its folder so that a power failure does not bring it back.
    ///
    /// It is no error if the object does not exist.
    ///
    /// # Errors
    ///
    /// If the disk fails.
    #[boxed]
    pub async fn remove(&self, key: &str) -> Result<()> {
        let path = self.path(key)?;
        let removing = blocking(move || {
            remove_file(&path)?;
            match path.parent() {
                Some(folder) if folder.exists() => sync_folder(folder),
                _ => Ok(()),
            }
        });
        self.metrics().time(Operation::Delete, removing).await
    }

    /// Reads ranges of an object of this size, or of a decoy if there is no key.
    ///
    /// Both open a file, check its size, and read the same number of bytes in the same number of
    /// pieces, so that the caller's client cannot tell them apart. All ranges together are at most
    /// [`WHOLE_UP_TO`](domain::possession::WHOLE_UP_TO) bytes.
    ///
    /// # Errors
    ///
    /// [`Error::Missing`] or [`Error::WrongSize`] if the object is missing or has another size.
    #[boxed]
    pub async fn read_ranges(
        &self,
        key: Option<&str>,
        size: u64,
        ranges: Vec<ByteRange>,
    ) -> Result<Vec<u8>> {
        let (disk, key) = (self.clone(), key.map(str::to_owned));
        blocking(move || {
            let path = match &key {
                Some(key) => disk.path(key)?,
                None => disk.decoy().to_owned(),
            };
            let name = key.as_deref().unwrap_or("decoy");
            let file = File::open(&path).map_err(|error| object::missing(error, name))?;
            let found = file.metadata()?.len();
            if key.is_some() && found != size {
                return Err(Error::WrongSize {
                    key: name.to_owned(),
                    expected: size,
                    found,
                });
            }
            read_ranges(&file, found, &ranges)
        })
        .await
    }

    fn list_folder(&self, last_byte: u8) -> Result<Listing> {
        let (path, folder) = (self.object_folder(last_byte), key::folder(last_byte));
        let mut listing = Listing::default();
        for entry in fs::read_dir(&path)? {
            let name = entry?.file_name();
            let parsed = name.to_str().and_then(key::of_file_name);
            match parsed.filter(|(key, _)| key.starts_with(&folder)) {
                Some((key, sha1)) => listing.objects.push(StoredObject {
                    address: self.address(key),
                    sha1,
                }),
                None => listing.foreign_files.push(path.join(name)),
            }
        }
        Ok(listing)
    }
}

fn read_ranges(file: &File, size: u64, ranges: &[ByteRange]) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    for range in ranges {
        let begin = bytes.len();
        let length = usize::try_from(range.length()).unwrap_or_default();
        bytes.resize(begin + length, 0);
        // A decoy may be shorter than the object. Any position in it will do.
        let start = range.start.min(size.saturating_sub(range.length()));
        file.read_exact_at(&mut bytes[begin..], start)?;
    }
    Ok(bytes)
}
