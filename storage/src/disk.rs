//! A store on a local disk.

use std::{
    collections::HashSet,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use domain::{Address, Sha1};
use rustix::fs::{Mode, OFlags};

use crate::{
    Abandoned, Error, Object, Operation, Result, error::blocking, key, meter::Meter, sample,
    staging::Staging,
};

/// A store on a local disk: objects in folders below one, and the bytes that arrive in another.
///
/// Cloning it is cheap, and gives the same store.
#[derive(Clone, Debug)]
pub struct Disk(Arc<Layout>);

#[derive(Debug)]
struct Layout {
    name: String,
    objects: PathBuf,
    staging: Staging,
    uploads: PathBuf,
    decoy: PathBuf,
    identity: PathBuf,
    meter: Meter,
}

/// What a part of a store has.
#[derive(Debug, Default)]
pub struct Listing {
    /// The objects.
    pub objects: Vec<StoredObject>,
    /// The paths of files that the service did not put there.
    pub strays: Vec<PathBuf>,
}

/// An object as a listing shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredObject {
    /// Where it is.
    pub address: Address,
    /// The content that it is a copy of, by its name.
    pub sha1: Sha1,
}

impl Disk {
    /// Opens the store in a folder, which is made if it is not there.
    ///
    /// # Errors
    ///
    /// When the folder cannot be made or written to.
    pub async fn open(name: &str, root: &Path) -> Result<Self> {
        let (name, root) = (name.to_owned(), root.to_owned());
        blocking(move || {
            let objects = root.join("objects");
            make_folders(&objects)?;
            let uploads = root.join("uploads");
            fs::create_dir_all(&uploads)?;
            Ok(Self(Arc::new(Layout {
                meter: Meter::of_disk(&name),
                name,
                objects,
                staging: Staging::open(&root.join("staging"))?,
                uploads,
                decoy: sample::make_decoy(&root)?,
                identity: root.join("identity"),
            })))
        })
        .await
    }

    /// Opens an object to read from it, and gets ready for reading from `start`.
    ///
    /// # Errors
    ///
    /// [`Error::Missing`] when it is not there, [`Error::WrongSize`] when it does not have as many
    /// bytes as it should.
    pub async fn open_object(&self, key: &str, size: u64, start: u64) -> Result<Object> {
        let path = self.path(key)?;
        let key = key.to_owned();
        let opening = blocking(move || open(&path, &key, size, start));
        self.0.meter.time(Operation::Read, opening).await
    }

    /// How many bytes an object has, or `None` if it is not there.
    ///
    /// # Errors
    ///
    /// When the disk fails.
    pub async fn size(&self, key: &str) -> Result<Option<u64>> {
        let Ok(path) = self.path(key) else {
            return Ok(None);
        };
        let looking = blocking(move || match fs::metadata(path) {
            Ok(metadata) => Ok(Some(metadata.len())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.into()),
        });
        self.0.meter.time(Operation::Stat, looking).await
    }

    /// How long ago an object was written; `None` if it is not there.
    ///
    /// # Errors
    ///
    /// When the disk fails.
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
    /// When the disk fails.
    pub async fn list(&self, last_byte: u8) -> Result<Listing> {
        let disk = self.clone();
        let listing = blocking(move || disk.list_folder(&key::folder(last_byte)));
        self.0.meter.time(Operation::List, listing).await
    }

    /// The objects of which no committed row is known yet, by any process that is using the store.
    ///
    /// # Errors
    ///
    /// When the disk fails.
    pub async fn pending(&self) -> Result<HashSet<Address>> {
        let disk = self.clone();
        blocking(move || disk.0.staging.pending(&disk.0.name)).await
    }

    /// Finds what processes left behind that are no longer there.
    ///
    /// The bytes of uploads that were not finished are removed at once.
    ///
    /// # Errors
    ///
    /// When the disk fails.
    pub async fn abandoned(&self) -> Result<Vec<Abandoned>> {
        let disk = self.clone();
        blocking(move || disk.0.staging.abandoned(&disk)).await
    }

    /// Makes sure that bytes can be written.
    ///
    /// # Errors
    ///
    /// When they cannot.
    pub async fn probe(&self) -> Result<()> {
        let disk = self.clone();
        blocking(move || disk.staging().probe()).await
    }

    /// The name that the store has in the settings.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name
    }

    pub(crate) fn meter(&self) -> &Meter {
        &self.0.meter
    }

    pub(crate) fn staging(&self) -> &Staging {
        &self.0.staging
    }

    pub(crate) fn decoy(&self) -> &Path {
        &self.0.decoy
    }

    pub(crate) fn identity_file(&self) -> PathBuf {
        self.0.identity.clone()
    }

    pub(crate) fn uploads(&self) -> &Path {
        &self.0.uploads
    }

    pub(crate) fn address(&self, key: String) -> Address {
        Address {
            store: self.0.name.clone(),
            key,
        }
    }

    /// Gives a synced file the name under which it stays, by `name`, and syncs the name.
    pub(crate) fn adopt(&self, key: &str, name: impl Fn(&Path) -> io::Result<()>) -> Result<()> {
        let path = self.path(key)?;
        let folder = path.parent().unwrap_or(&self.0.objects);
        match name(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && !folder.exists() => {
                // Somebody removed the folder since the start.
                make_folders(&self.0.objects)?;
                name(&path)?;
            }
            named => named?,
        }
        sync_folder(folder)
    }

    /// Removes an object; one that is not there is no failure.
    pub(crate) fn remove(&self, key: &str) -> Result<()> {
        remove_file(&self.path(key)?)
    }

    /// Removes an object so that no power failure brings it back.
    pub(crate) async fn remove_for_good(&self, key: &str) -> Result<()> {
        let path = self.path(key)?;
        let removing = blocking(move || {
            remove_file(&path)?;
            match path.parent() {
                Some(folder) if folder.exists() => sync_folder(folder),
                _ => Ok(()),
            }
        });
        self.0.meter.time(Operation::Delete, removing).await
    }

    pub(crate) fn path(&self, key: &str) -> Result<PathBuf> {
        if key::is_valid(key) {
            Ok(self.0.objects.join(key))
        } else {
            Err(Error::Missing(key.to_owned()))
        }
    }

    fn list_folder(&self, folder: &str) -> Result<Listing> {
        let path = self.0.objects.join(folder);
        let mut listing = Listing::default();
        for entry in fs::read_dir(&path)? {
            let name = entry?.file_name();
            let known = name.to_str().and_then(key::of_file_name);
            match known.filter(|(key, _)| key.starts_with(folder)) {
                Some((key, sha1)) => listing.objects.push(StoredObject {
                    address: self.address(key),
                    sha1,
                }),
                None => listing.strays.push(path.join(name)),
            }
        }
        Ok(listing)
    }
}

/// Opens a file that has to have a certain size.
pub(crate) fn open(path: &Path, key: &str, size: u64, start: u64) -> Result<Object> {
    let file = File::open(path).map_err(|error| missing(error, key))?;
    let found = file.metadata()?.len();
    if found != size {
        return Err(Error::WrongSize {
            key: key.to_owned(),
            expected: size,
            found,
        });
    }
    Object::new(file, size, start)
}

fn missing(error: io::Error, key: &str) -> Error {
    if error.kind() == io::ErrorKind::NotFound {
        Error::Missing(key.to_owned())
    } else {
        error.into()
    }
}

/// Makes the folders for objects that are missing, and syncs their names.
fn make_folders(objects: &Path) -> Result<()> {
    for last_byte in 0..=u8::MAX {
        let path = objects.join(key::folder(last_byte));
        if !path.is_dir() {
            fs::create_dir_all(path)?;
        }
    }
    sync_folder(objects)?;
    objects.parent().map_or(Ok(()), sync_folder)
}

pub(crate) fn sync_folder(path: &Path) -> Result<()> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let folder = rustix::fs::open(path, flags, Mode::empty())?;
    Ok(rustix::fs::fsync(folder)?)
}

pub(crate) fn remove_file(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}
