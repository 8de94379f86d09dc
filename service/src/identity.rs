//! Whether the disks are those that the rows mean.
//!
//! An address names a store and a key. What a store of the same name has in another folder, or in
//! an empty one because a disk is not mounted, is something else: files would be taken for lost,
//! and what is to go for gone. So a disk's folder has an identity, which the database knows.

use domain::RandomId;
use storage::{Disk, Store};

use crate::{Error, FileService, Result, random::random_id};

impl FileService {
    /// Makes sure that each disk is the one that the rows mean; one that is new becomes it.
    ///
    /// # Errors
    ///
    /// [`Error::WrongDisk`] when it is not; or when the database or a disk fails.
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
            // Nothing is missing from an empty folder of which nothing is expected.
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

    /// Tells the database of a disk that it does not know; gives what it knows by then.
    async fn register(&self, disk: &Disk) -> Result<RandomId> {
        let own = match disk.identity().await? {
            Some(own) => own,
            None => disk.identify(random_id()?).await?,
        };
        let identities = self.0.database.identities();
        Ok(identities.give(disk.name(), own).await?)
    }
}
