//! Checks that the disks are the ones that the rows refer to.
//!
//! An address is the name of a store and a key. If the store of this name is another folder, or an
//! empty one because a disk is not mounted, files would seem lost, and objects to delete would seem
//! gone. So each disk has an identity, which the database knows.

use domain::RandomId;
use storage::{Disk, Store};

use crate::{Error, FileService, Result, boxed, random::random_id};

impl FileService {
    /// Checks the identity of each disk, and registers new disks.
    ///
    /// A disk with bytes that another database registered is registered only if `adopts` says so: to a
    /// database that does not know them, all of its bytes would be orphans.
    ///
    /// # Errors
    ///
    /// [`Error::WrongDisk`] for another disk, [`Error::ForeignDisk`] for one of another database; or
    /// when the database or a disk fails.
    #[boxed]
    pub async fn identify_disks(&self, adopts: bool) -> Result<()> {
        for disk in self.0.stores.iter().filter_map(Store::as_disk) {
            self.identify(disk, adopts).await?;
        }
        Ok(())
    }

    async fn identify(&self, disk: &Disk, adopts: bool) -> Result<()> {
        let name = disk.name();
        let expected = match self.0.database.identities().find(name).await? {
            Some(known) => known,
            None => self.register(disk, adopts).await?,
        };
        let found = match disk.identity().await? {
            // An empty folder without expected objects is a new disk.
            None if !self.0.database.contents().is_any_in(name).await? => {
                Some(disk.ensure_identity(expected).await?)
            }
            found => found,
        };
        if found == Some(expected) {
            return Ok(());
        }
        Err(Error::WrongDisk {
            store: name.to_owned(),
            expected,
            found,
        })
    }

    /// Returns whether a disk has bytes, and the database no content on a disk of this name.
    async fn is_foreign(&self, disk: &Disk) -> Result<bool> {
        let contents = self.0.database.contents();
        Ok(!contents.is_any_in(disk.name()).await? && disk.has_bytes().await?)
    }

    /// Registers a new disk in the database; returns the identity that is registered by then.
    async fn register(&self, disk: &Disk, adopts: bool) -> Result<RandomId> {
        let own = match disk.identity().await? {
            Some(own) => {
                if !adopts && self.is_foreign(disk).await? {
                    return Err(Error::ForeignDisk(disk.name().to_owned()));
                }
                own
            }
            None => disk.ensure_identity(random_id()?).await?,
        };
        let identities = self.0.database.identities();
        Ok(identities.assign(disk.name(), own).await?)
    }
}
