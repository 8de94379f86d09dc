//! Compares rows with the listings of buckets.
//!
//! A listing has the size of each object, so no object is requested on its own.

use domain::Address;
use futures_util::StreamExt as _;
use storage::Store;

use super::{
    bucket_index::{IndexedObject, unique},
    finding::Finding,
    state::Check,
};
use crate::Result;

impl Check<'_> {
    /// Compares one part of a bucket with the rows.
    pub(super) async fn part_of_bucket(&mut self, store: &Store, first_byte: u8) -> Result<()> {
        let mut indexed = self.index.take(store.name(), first_byte)?;
        let before = self.before;
        let mut listing = store.list(first_byte).await?;
        while let Some(entry) = listing.next().await {
            let entry = entry?;
            let address = Address {
                store: store.name().to_owned(),
                key: entry.key,
            };
            let Some(unique) = unique(&address.key) else {
                let path = address.to_string().into();
                self.found(&Finding::ForeignFile { path });
                continue;
            };
            self.summary.objects += 1;
            match indexed.remove(&unique) {
                Some(row) if row.size == entry.size => {}
                Some(row) => self.suspect(&row, &address).await?,
                None if entry.modified.is_none_or(|modified| modified > before) => {
                    // Its row may have been inserted after the rows were read.
                    self.summary.young += 1;
                }
                None => self.orphan(store, address).await?,
            }
        }
        for (unique, row) in indexed {
            let unique = format!("{unique:032x}");
            let address = Address {
                store: store.name().to_owned(),
                key: format!("objects/{}/{unique}", &unique[..2]),
            };
            self.suspect(&row, &address).await?;
        }
        Ok(())
    }

    /// Checks a copy again after the listing disagreed with its row.
    async fn suspect(&mut self, indexed: &IndexedObject, address: &Address) -> Result<()> {
        let contents = self.service.0.database.contents();
        let Some(row) = contents.find(&indexed.sha1).await? else {
            return Ok(());
        };
        if row.copies().any(|copy| copy == address) {
            let finding = self.service.examine(&row, address, false).await?;
            self.confirm(&row, finding).await?;
        }
        Ok(())
    }

    /// Handles an object without a row: it is in progress, or an orphan.
    async fn orphan(&mut self, store: &Store, address: Address) -> Result<()> {
        let pending = self.service.0.database.pending_deletions();
        if pending.is_scheduled_at(&address).await? || store.size(&address.key).await?.is_none() {
            return Ok(());
        }
        self.orphaned(store, address).await
    }

    /// Finds segments that belong to no upload.
    pub(super) async fn segments(&mut self, store: &Store) -> Result<()> {
        let age = self.service.0.limits.orphan_age;
        for key in self.service.list_orphaned_segments(store, age).await? {
            let store_name = store.name().to_owned();
            let address = Address {
                store: store_name,
                key,
            };
            self.orphaned(store, address).await?;
        }
        Ok(())
    }
}
