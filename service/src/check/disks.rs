//! Finds files on disks that no row points at.

use domain::{Address, Sha1, StoredContent};
use persistence::Shard;
use storage::{Disk, Store, StoredObject};

use super::{
    finding::Finding,
    state::{BATCH, Check},
};
use crate::Result;

impl Check<'_> {
    pub(super) async fn objects(&mut self, disk: &Disk, shard: Shard, last_byte: u8) -> Result<()> {
        let listing = disk.list(last_byte).await?;
        for path in listing.strays {
            self.found(&Finding::ForeignFile { path });
        }
        for objects in listing.objects.chunks(BATCH) {
            self.summary.objects += objects.len() as u64;
            for address in self.without_row(disk, shard, objects).await? {
                self.orphan_on_disk(disk, address).await?;
            }
        }
        Ok(())
    }

    async fn orphan_on_disk(&mut self, disk: &Disk, address: Address) -> Result<()> {
        let age = disk.age(&address.key).await?;
        let is_old = age.is_some_and(|age| age >= self.service.0.limits.orphan_age);
        if self.options.remove_orphans && !is_old {
            self.summary.young += 1;
            return Ok(());
        }
        self.orphaned(&Store::Disk(disk.clone()), address).await
    }

    /// Filters the objects that no row points at and that are not in progress.
    ///
    /// The marker of an object is created before the object. It is removed only after the row was
    /// committed or the object was removed.
    async fn without_row(
        &self,
        disk: &Disk,
        shard: Shard,
        objects: &[StoredObject],
    ) -> Result<Vec<Address>> {
        let suspects = self.not_in_rows(shard, objects.to_vec()).await?;
        if suspects.is_empty() {
            return Ok(Vec::new());
        }
        let pending = disk.pending().await?;
        let unmarked = suspects
            .into_iter()
            .filter(|object| !pending.contains(&object.address));
        let mut orphans = Vec::new();
        for object in self.not_in_rows(shard, unmarked.collect()).await? {
            let pending = self.service.0.database.pending_deletions();
            let is_scheduled = pending.is_scheduled_at(&object.address).await?;
            if !is_scheduled && disk.size(&object.address.key).await?.is_some() {
                orphans.push(object.address);
            }
        }
        Ok(orphans)
    }

    async fn not_in_rows(
        &self,
        shard: Shard,
        mut objects: Vec<StoredObject>,
    ) -> Result<Vec<StoredObject>> {
        let sha1s: Vec<Sha1> = objects.iter().map(|object| object.sha1).collect();
        let contents = self.service.0.database.contents();
        let rows = contents.find_many(shard, &sha1s).await?;
        objects.retain(|object| {
            let is_copy = |row: &StoredContent| row.copies().any(|copy| *copy == object.address);
            !rows.iter().any(is_copy)
        });
        Ok(objects)
    }
}
