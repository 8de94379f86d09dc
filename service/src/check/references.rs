//! Checks that the contents of entries have rows, and that the counted usage is right.

use std::collections::HashMap;

use domain::Sha1;
use persistence::Shard;

use super::{
    finding::Finding,
    state::{BATCH, Check},
};
use crate::Result;

impl Check<'_> {
    pub(super) async fn entries(&mut self) -> Result<()> {
        let entries = self.service.0.database.entries();
        let mut after = 0;
        loop {
            let references = entries.list_references(after, BATCH as u64).await?;
            let Some((last, _)) = references.last() else {
                return Ok(());
            };
            after = *last;
            self.summary.entries += references.len() as u64;
            let mut by_shard: HashMap<Shard, Vec<Sha1>> = HashMap::new();
            for (_, sha1) in references {
                by_shard.entry(Shard::of(&sha1)).or_default().push(sha1);
            }
            for (shard, sha1s) in by_shard {
                self.references(shard, sha1s).await?;
            }
        }
    }

    pub(super) async fn accounts(&mut self) -> Result<()> {
        let accounts = self.service.0.database.accounts();
        let mut last = None;
        while let Some(owner) = accounts.next_owner(last.as_ref()).await? {
            if let Some(miscount) = accounts.audit(&owner).await? {
                self.found(&miscount.into());
            }
            last = Some(owner);
        }
        Ok(())
    }

    async fn references(&mut self, shard: Shard, mut sha1s: Vec<Sha1>) -> Result<()> {
        let contents = self.service.0.database.contents();
        let rows = contents.find_available(shard, &sha1s).await?;
        sha1s.retain(|sha1| rows.iter().all(|row| row.content.sha1 != *sha1));
        for file_sha1 in sha1s {
            // The row or the entry may have changed since it was read.
            let entries = self.service.0.database.entries();
            let is_there = contents.find(&file_sha1).await?.is_some();
            let checksums = self.service.0.database.checksums();
            let is_there = is_there || checksums.is_damaged(&file_sha1).await?;
            if !is_there && entries.is_referenced(&file_sha1).await? {
                self.found(&Finding::ContentMissing { file_sha1 });
            }
        }
        Ok(())
    }
}
