//! Checks that the disks are the ones that the rows refer to.
//!
//! An address is the name of a store and a key. If the store of this name is another folder, or an
//! empty one because a disk is not mounted, files would seem lost, and objects to delete would seem
//! gone. So each disk has an identity, which the database knows.

use domain::RandomId;
use storage::{Disk, Store};

use crate::{Error, FileService, Result, random::random_id};

impl FileService {
    /// Checks the identity of each disk, and registers new disks.
    ///
    /// # Errors
    ///
    /// [`Error::WrongDisk`] for another disk; or when the database or a disk fails.
    pub async fn identify_disks(&self) -> Result<()> {
        for disk in self.0.stores.iter().filter_map(Store::as_disk) {
            self.identify(disk).await?;
        }
        Ok(())
    }

    async fn identify(&self, disk: &Disk) -> Result<()> {
        let name = disk.name();
        let expected = match self.0.database.identities().find(name).await? {
            Some(known) => known,
            None => self.register(disk).await?,
        };
        let found = match disk.identity().await? {
            // An empty folder without expected objects is a new disk.
            None if !self.0.database.contents().is_any_in(name).await? => {
                Some(disk.identify(expected).await?)
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

    /// Registers a new disk in the database; returns the identity that is registered by then.
    async fn register(&self, disk: &Disk) -> Result<RandomId> {
        let own = match disk.identity().await? {
            Some(own) => own,
            None => disk.identify(random_id()?).await?,
        };
        let identities = self.0.database.identities();
        Ok(identities.assign(disk.name(), own).await?)
    }
}
