//! Removing what nobody has any more.
//!
//! A deleted file can be restored for a time, then it is given up; its owner may give it up at
//! once. A content to which no entry refers stays for another time of grace, in which what is
//! being downloaded comes to its end. Then, in this order: its row says that it is withdrawn, its
//! bytes go, wherever they are, its row goes, and last the entries by which it was found. So what a
//! crash leaves behind is found again. Whoever brings the same content meanwhile brings bytes of
//! their own, and notes where the old ones were.

use std::collections::HashMap;

use domain::{Sha1, Timestamp};
use persistence::Shard;

use crate::{FileService, Result};

/// How many rows are looked at together.
const BATCH: u64 = 500;

/// What a purge came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Purged {
    /// Entries that were given up because they were deleted long ago.
    pub given_up: u64,
    /// Contents whose bytes were removed.
    pub contents: u64,
}

impl FileService {
    /// Removes what nobody has any more, as far as its time has come.
    ///
    /// What cannot be removed keeps nothing else from going.
    ///
    /// # Errors
    ///
    /// When the store or the database fails; what is left is done by a later one.
    pub async fn purge(&self) -> Result<Purged> {
        let mut purged = Purged::default();
        let mut failed = None;
        match self.give_up_deleted().await {
            Ok(given_up) => purged.given_up = given_up,
            Err(error) => failed = Some(error),
        }
        let before = self.0.clock.now().before(self.0.limits.purge_grace);
        let mut after = None;
        loop {
            let purging = self.0.database.purging();
            let given_up = purging.list(before, after, BATCH).await?;
            let mut by_content: HashMap<Sha1, Vec<i64>> = HashMap::new();
            for (_, id, sha1) in &given_up {
                by_content.entry(*sha1).or_default().push(*id);
            }
            for (sha1, entries) in by_content {
                match self.purge_content(&sha1, &entries, before).await {
                    Ok(gone) => purged.contents += u64::from(gone),
                    Err(error) => {
                        tracing::warn!(content = %sha1, %error, "a content cannot be purged");
                        failed.get_or_insert(error);
                    }
                }
            }
            match given_up.last() {
                Some((at, id, _)) if given_up.len() as u64 == BATCH => after = Some((*at, *id)),
                _ => return failed.map_or(Ok(purged), Err),
            }
        }
    }

    async fn give_up_deleted(&self) -> Result<u64> {
        let mut given_up = 0;
        loop {
            let now = self.0.clock.now();
            let before = now.before(self.0.limits.deleted_age);
            let purging = self.0.database.purging();
            let count = purging.give_up_deleted(before, now, BATCH).await? as u64;
            given_up += count;
            if count < BATCH {
                return Ok(given_up);
            }
        }
    }

    /// Removes a content if nobody has it, and entries that were given up; gives whether nobody
    /// has it.
    async fn purge_content(&self, sha1: &Sha1, entries: &[i64], before: Timestamp) -> Result<bool> {
        let database = &self.0.database;
        let contents = database.contents();
        let rows = contents.find_many(Shard::of(sha1), &[*sha1]).await?;
        let Some(row) = rows.into_iter().next() else {
            database
                .purging()
                .forget(sha1, None, entries, before)
                .await?;
            return Ok(false);
        };
        let now = self.0.clock.now();
        let is_gone = database.purging().withdraw(&row, before, now).await?;
        if !is_gone && !self.is_current(&row).await? {
            // It was moved meanwhile, or brought again: the next purge finds it by these entries.
            return Ok(false);
        }
        if is_gone {
            for address in row.copies() {
                self.0.stores.of(address)?.remove(&address.key).await?;
            }
            tracing::info!(content = %sha1, address = %row.address, "purged");
        }
        let withdrawn = is_gone.then_some(&row.address);
        database
            .purging()
            .forget(sha1, withdrawn, entries, before)
            .await?;
        Ok(is_gone)
    }
}
