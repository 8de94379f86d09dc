//! The folders of a local disk store.

use std::{
    collections::HashSet,
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use domain::Address;

use super::{
    decoy,
    files::{remove_file, sync_folder},
    key,
    reserve::Reserve,
    staging::StagingFolder,
};
use crate::{
    blocking::blocking,
    boxed,
    error::{Error, Result},
    memory::Memory,
    metrics::Metrics,
};

/// A store on a local disk.
///
/// Cloning is cheap, and the clone is the same store.
#[derive(Clone, Debug)]
pub struct Disk(Arc<Layout>);

#[derive(Debug)]
struct Layout {
    name: String,
    objects: PathBuf,
    staging: StagingFolder,
    uploads: PathBuf,
    decoy: PathBuf,
    identity: PathBuf,
    reserve: Reserve,
    memory: Memory,
    metrics: Metrics,
}

impl Disk {
    /// Opens the store in a folder, and creates the folder if it does not exist. New bytes leave
    /// `reserve` bytes free on the disk, but not more than a twentieth of it. The bytes of requests are
    /// held in `memory`.
    ///
    /// # Errors
    ///
    /// If the folder cannot be created or written to.
    #[boxed]
    pub async fn open(name: &str, root: &Path, reserve: u64, memory: Memory) -> Result<Self> {
        let (name, root) = (name.to_owned(), root.to_owned());
        blocking(move || {
            let objects = root.join("objects");
            create_object_folders(&objects)?;
            let uploads = root.join("uploads");
            fs::create_dir_all(&uploads)?;
            Ok(Self(Arc::new(Layout {
                metrics: Metrics::of_disk(&name),
                name,
                objects,
                staging: StagingFolder::create(&root.join("staging"))?,
                uploads,
                decoy: decoy::create(&root)?,
                identity: root.join("identity"),
                reserve: Reserve(reserve),
                memory,
            })))
        })
        .await
    }

    /// The store's name in the settings.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Lists the objects without a committed row, of all processes that use the store.
    ///
    /// # Errors
    ///
    /// If the disk fails.
    #[boxed]
    pub async fn pending(&self) -> Result<HashSet<Address>> {
        let disk = self.clone();
        blocking(move || {
            let keys = disk.0.staging.list_pending_keys()?.into_iter();
            Ok(keys.map(|key| disk.address(key)).collect())
        })
        .await
    }

    /// Checks that bytes can be written.
    ///
    /// # Errors
    ///
    /// If they cannot.
    #[boxed]
    pub async fn probe(&self) -> Result<()> {
        let disk = self.clone();
        blocking(move || disk.staging().probe(disk.reserve())).await
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        &self.0.metrics
    }

    pub(super) fn staging(&self) -> &StagingFolder {
        &self.0.staging
    }

    pub(super) fn reserve(&self) -> Reserve {
        self.0.reserve
    }

    pub(crate) fn memory(&self) -> &Memory {
        &self.0.memory
    }

    pub(super) fn decoy(&self) -> &Path {
        &self.0.decoy
    }

    pub(super) fn identity_file(&self) -> PathBuf {
        self.0.identity.clone()
    }

    pub(super) fn uploads(&self) -> &Path {
        &self.0.uploads
    }

    /// The folder of the contents whose SHA-1 ends in this byte.
    pub(super) fn object_folder(&self, last_byte: u8) -> PathBuf {
        self.0.objects.join(key::folder(last_byte))
    }

    pub(crate) fn address(&self, key: String) -> Address {
        Address {
            store: self.0.name.clone(),
            key,
        }
    }

    /// The path of an object. Keys that [`key::fresh`] cannot create are [`Error::Missing`].
    pub(super) fn path(&self, key: &str) -> Result<PathBuf> {
        if key::is_valid(key) {
            Ok(self.0.objects.join(key))
        } else {
            Err(Error::Missing(key.to_owned()))
        }
    }

    /// Moves or links a synced file to the path of an object, by `name`, and syncs the folder.
    pub(super) fn adopt(&self, key: &str, name: impl Fn(&Path) -> io::Result<()>) -> Result<()> {
        let path = self.path(key)?;
        let folder = path.parent().unwrap_or(&self.0.objects);
        match name(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && !folder.exists() => {
                // The folder was removed after the store was opened.
                create_object_folders(&self.0.objects)?;
                name(&path)?;
            }
            named => named?,
        }
        sync_folder(folder)
    }

    /// Removes an object without syncing its folder. It is no error if the object does not exist.
    pub(super) fn unlink(&self, key: &str) -> Result<()> {
        remove_file(&self.path(key)?)
    }
}

/// Creates the missing folders for objects, and syncs their names.
fn create_object_folders(objects: &Path) -> Result<()> {
    for last_byte in 0..=u8::MAX {
        let path = objects.join(key::folder(last_byte));
        if !path.is_dir() {
            fs::create_dir_all(path)?;
        }
    }
    sync_folder(objects)?;
    objects.parent().map_or(Ok(()), sync_folder)
}
