//! Removes contents that no entry refers to.
//!
//! A deleted file can be restored for a time, then its entry is removed; its owner can remove it at
//! once. A content without entries is kept for another grace period, in which running downloads
//! end. Then, in this order: its row is marked as withdrawn, its bytes are removed from all stores,
//! its row is removed, and last the entries that led to it. So a later purge finds what a crash
//! left behind. An upload of the same content during a purge stores bytes of its own and records
//! the address of the old ones.

use std::collections::HashMap;

use domain::{Sha1, Timestamp};
use persistence::Shard;

use crate::{FileService, Result, boxed};

/// Number of rows per query.
const BATCH: u64 = 500;

/// Totals of a purge.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Purged {
    /// Entries that were removed because their time to be restored was over.
    pub removed: u64,
    /// Contents whose bytes were removed.
    pub contents: u64,
}

impl FileService {
    /// Removes expired deleted files, and contents without entries after their grace period.
    ///
    /// A failure does not stop the purge of other contents.
    ///
    /// # Errors
    ///
    /// When the store or the database fails; the rest is purged next time.
    #[boxed]
    pub async fn purge(&self) -> Result<Purged> {
        let mut purged = Purged::default();
        let mut failed = None;
        match self.remove_expired_entries().await {
            Ok(removed) => purged.removed = removed,
            Err(error) => failed = Some(error),
        }
        let before = self.0.clock.now().before(self.0.limits.purge_grace);
        let mut after = None;
        loop {
            let purging = self.0.database.purging();
            let removed = purging.list(before, after, BATCH).await?;
            let mut by_content: HashMap<Sha1, Vec<i64>> = HashMap::new();
            for (_, id, sha1) in &removed {
                by_content.entry(*sha1).or_default().push(*id);
            }
            for (sha1, entries) in by_content {
                match self.purge_content(&sha1, &entries, before).await {
                    Ok(gone) => purged.contents += u64::from(gone),
                    Err(error) => {
                        tracing::warn!(content = %sha1, %error, "could not purge the content");
                        failed.get_or_insert(error);
                    }
                }
            }
            match removed.last() {
                Some((at, id, _)) if removed.len() as u64 == BATCH => after = Some((*at, *id)),
                _ => return failed.map_or(Ok(purged), Err),
            }
        }
    }

    async fn remove_expired_entries(&self) -> Result<u64> {
        let mut removed = 0;
        loop {
            let now = self.0.clock.now();
            let before = now.before(self.0.limits.deleted_age);
            let purging = self.0.database.purging();
            let count = purging.expire_deleted(before, now, BATCH).await? as u64;
            removed += count;
            if count < BATCH {
                return Ok(removed);
            }
        }
    }

    /// Removes a content that no entry refers to, and its removed entries; returns whether the
    /// content was removed.
    async fn purge_content(&self, sha1: &Sha1, entries: &[i64], before: Timestamp) -> Result<bool> {
        let database = &self.0.database;
        let contents = database.contents();
        let rows = contents.find_many(Shard::of(sha1), &[*sha1]).await?;
        let Some(row) = rows.into_iter().next() else {
            database
                .purging()
                .remove(sha1, None, entries, before)
                .await?;
            return Ok(false);
        };
        let now = self.0.clock.now();
        let is_gone = database.purging().withdraw(&row, before, now).await?;
        if !is_gone && !self.is_current(&row).await? {
            // The content was moved or uploaded again: the next purge finds it by these entries.
            return Ok(false);
        }
        if is_gone {
            for address in row.copies() {
                self.0.stores.of(address)?.remove(&address.key).await?;
            }
            tracing::info!(content = %sha1, address = %row.address, "purged the content");
        }
        let withdrawn = is_gone.then_some(&row.address);
        database
            .purging()
            .remove(sha1, withdrawn, entries, before)
            .await?;
        Ok(is_gone)
    }
}
