//! Checks the rows of contents: their copies and their entries.

use domain::{Address, Sha1, StoredContent};
use futures_util::{StreamExt as _, stream};
use persistence::Shard;

use super::{
    finding::Finding,
    state::{BATCH, Check},
};
use crate::{FileService, Result, digest::digest};

/// Number of copies that are checked at a time.
const CONCURRENCY: usize = 8;

impl Check<'_> {
    pub(super) async fn rows(&mut self, shard: Shard) -> Result<()> {
        // Before the others, of which some may be marked now.
        self.damaged(shard).await?;
        let contents = self.service.0.database.contents();
        let mut after = 0;
        loop {
            let rows = contents.list(shard, after, BATCH as u64).await?;
            let Some((last, _)) = rows.last() else {
                return Ok(());
            };
            after = *last;
            self.unreferenced(&rows).await?;
            let rows = rows.into_iter().map(|(_, row)| row).collect();
            self.copies(rows).await?;
        }
    }

    /// Reports contents that are marked as damaged. If their bytes are to be read, and are whole, the
    /// mark is removed.
    async fn damaged(&mut self, shard: Shard) -> Result<()> {
        let checksums = self.service.0.database.checksums();
        let mut after = 0;
        loop {
            let rows = checksums.list_damaged(shard, after, BATCH as u64).await?;
            let Some((last, _)) = rows.last() else {
                return Ok(());
            };
            after = *last;
            for (_, row) in rows {
                for address in row.copies() {
                    if self.is_in_bucket(address) {
                        self.index
                            .add(address, &row.content.sha1, row.content.size)?;
                    }
                }
                if !self.options.digests || !self.service.restore_if_whole(&row).await? {
                    self.found(&Finding::Damaged {
                        file_sha1: row.content.sha1,
                        address: row.address.to_string(),
                    });
                }
            }
        }
    }

    fn is_in_bucket(&self, address: &Address) -> bool {
        let store = self.service.0.stores.get(&address.store);
        store.is_some_and(|store| store.as_bucket().is_some())
    }

    /// Checks the copies of contents; those in buckets only if their bytes are to be read.
    async fn copies(&mut self, rows: Vec<StoredContent>) -> Result<()> {
        let mut to_examine = Vec::new();
        for row in rows {
            self.summary.contents += 1;
            self.summary.bytes += row.content.size;
            for address in row.copies() {
                let is_in_bucket = self.is_in_bucket(address);
                let (sha1, size) = (&row.content.sha1, row.content.size);
                let is_noted = is_in_bucket && self.index.add(address, sha1, size)?;
                if !is_noted || self.options.digests {
                    to_examine.push((row.clone(), address.clone()));
                }
            }
        }
        let (service, digests) = (self.service, self.options.digests);
        let mut examined = stream::iter(to_examine)
            .map(|(row, address)| async move {
                let finding = service.examine(&row, &address, digests).await;
                finding.map(|finding| (row, finding))
            })
            .buffer_unordered(CONCURRENCY);
        while let Some(found) = examined.next().await {
            let (row, finding) = found?;
            let damaged = finding
                .as_ref()
                .and_then(|finding| finding.damaged_copy(&row));
            let damaged = damaged.cloned();
            self.confirm(&row, finding).await?;
            if let Some(address) = damaged {
                service.settle_damage(&row, &address).await?;
            }
        }
        Ok(())
    }

    /// Finds contents that no entry refers to, not even a removed one.
    async fn unreferenced(&mut self, rows: &[(i64, StoredContent)]) -> Result<()> {
        let entries = self.service.0.database.entries();
        let sha1s: Vec<Sha1> = rows.iter().map(|(_, row)| row.content.sha1).collect();
        let referenced = entries.find_references(&sha1s).await?;
        for (_, row) in rows {
            let file_sha1 = row.content.sha1;
            // The row is removed before the last entry.
            if !referenced.contains(&file_sha1) && self.service.is_current(row).await? {
                let still = entries.find_references(&[file_sha1]).await?;
                if still.is_empty() {
                    self.found(&Finding::Unreferenced { file_sha1 });
                }
            }
        }
        Ok(())
    }
}

impl FileService {
    /// Checks one copy of a content.
    pub(super) async fn examine(
        &self,
        row: &StoredContent,
        address: &Address,
        digests: bool,
    ) -> Result<Option<Finding>> {
        let (file_sha1, text) = (row.content.sha1, address.to_string());
        let Some(store) = self.0.stores.get(&address.store) else {
            return Ok(Some(Finding::UnknownStore {
                file_sha1,
                address: text,
            }));
        };
        Ok(match store.size(&address.key).await? {
            None => Some(Finding::BytesMissing {
                file_sha1,
                address: text,
            }),
            Some(found) if found != row.content.size => Some(Finding::WrongSize {
                file_sha1,
                address: text,
                expected: row.content.size,
                found,
            }),
            Some(_) if digests => match digest(store, &address.key, row.content.size).await {
                Ok(content) if content == row.content => None,
                Ok(content) => Some(Finding::WrongDigests {
                    file_sha1,
                    address: text,
                    found: content.sha1,
                }),
                Err(error) => {
                    tracing::warn!(%address, %error, "could not read the object");
                    Some(Finding::Unreadable {
                        file_sha1,
                        address: text,
                    })
                }
            },
            Some(_) => None,
        })
    }
}
