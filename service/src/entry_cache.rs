//! Cache of frequently requested entries, if there is one.
//!
//! The cache holds only existing entries, never the absence of one. Code that decides about a
//! change reads the database.

use std::borrow::Cow;

use cache::Lookup;
use domain::{EntryOutcome, EntryUpdate, FileMeta, FileStatus, Owner, Position, Sha1};
use persistence::{RecordOutcome, UploadRecord};
use serde::{Deserialize, Serialize};
use tracing::Instrument as _;

use crate::{Entry, Error, FileService, Result, boxed};

/// Version of the cached form; increase it with every change to that form.
pub const ENTRY_FORMAT: u32 = 1;

/// The cached form of an available entry.
#[derive(Serialize, Deserialize)]
struct CachedEntry<'a> {
    id: i64,
    version: i64,
    meta: Cow<'a, FileMeta>,
}

impl FileService {
    /// Finds an owner's available file.
    ///
    /// A cache hit needs no query. After a failed invalidation, a hit may be stale until it expires
    /// from the cache.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] when there is none, or it was deleted.
    #[boxed]
    pub async fn find(&self, owner: &Owner, sha1: &Sha1) -> Result<Entry> {
        let Some(cache) = &self.0.entry_cache else {
            return self.find_uncached(owner, sha1).await;
        };
        match cache.find::<CachedEntry<'static>>(owner, sha1).await {
            Lookup::Hit(entry) => Ok(Entry::from(entry)),
            Lookup::Miss(slot) => {
                let entry = self.find_uncached(owner, sha1).await?;
                slot.fill(&CachedEntry::from(&entry)).await;
                Ok(entry)
            }
        }
    }

    /// Finds an owner's available file in the database, past the cache.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] when there is none, or it was deleted.
    #[boxed]
    pub async fn find_uncached(&self, owner: &Owner, sha1: &Sha1) -> Result<Entry> {
        let entry = self.0.database.entries().find(owner, sha1).await?;
        entry
            .filter(|entry| entry.meta.status == FileStatus::Available)
            .ok_or(Error::NotFound)
    }

    /// Updates an entry unless it has changed since it was read; returns whether it was updated.
    ///
    /// The work continues if the client disconnects, so that the cache is invalidated.
    pub(crate) async fn commit_update(
        &self,
        owner: &Owner,
        seen: &Entry,
        change: &EntryUpdate,
    ) -> Result<bool> {
        let (service, owner) = (self.clone(), owner.clone());
        let (seen, change) = (seen.clone(), change.clone());
        let work = async move {
            let entries = service.0.database.entries();
            let changed = entries.update(&owner, &seen, &change).await;
            // A failed update may have been committed.
            if !matches!(changed, Ok(false)) {
                service.invalidate(&owner, &seen.meta.file_sha1).await;
            }
            Ok(changed?)
        };
        let work = tokio::spawn(work.in_current_span()).await;
        work.unwrap_or_else(|stopped| {
            tracing::error!(%stopped, "the update task failed");
            Err(Error::Interrupted)
        })
    }

    /// Records an upload.
    pub(crate) async fn record(
        &self,
        record: &UploadRecord<'_>,
    ) -> persistence::Result<RecordOutcome> {
        let recorded = self.0.database.record(record).await;
        // Nothing has cached a new entry, and an existing one does not change.
        let may_differ = match &recorded {
            Ok(RecordOutcome::Recorded { outcome, .. }) => *outcome == EntryOutcome::Restored,
            Ok(_) => false,
            Err(_) => true,
        };
        if may_differ {
            self.invalidate(record.owner, &record.content.sha1).await;
        }
        recorded
    }

    pub(crate) async fn invalidate(&self, owner: &Owner, sha1: &Sha1) {
        if let Some(cache) = &self.0.entry_cache {
            cache.invalidate(owner, sha1).await;
        }
    }
}

impl<'a> From<&'a Entry> for CachedEntry<'a> {
    fn from(entry: &'a Entry) -> Self {
        Self {
            id: entry.position.id,
            version: entry.version,
            meta: Cow::Borrowed(&entry.meta),
        }
    }
}

impl From<CachedEntry<'_>> for Entry {
    fn from(cached: CachedEntry<'_>) -> Self {
        let meta = cached.meta.into_owned();
        Self {
            version: cached.version,
            position: Position {
                upload_at: meta.upload_at,
                id: cached.id,
            },
            meta,
        }
    }
}

#[cfg(test)]
mod tests {
    use domain::Timestamp;

    use super::*;

    #[test]
    fn an_entry_is_the_same_after_the_cache() {
        let sha1 = Sha1::from([0xab; 20]);
        let moment = Timestamp::from_microseconds(1_700_000_000_123_456);
        let entry = Entry {
            meta: FileMeta {
                file_sha1: sha1,
                file_sha256: [7; 32].into(),
                file_name: "\u{6570}.bin".parse().unwrap(),
                file_size: 5 << 40,
                content_type: "text/plain".parse().unwrap(),
                upload_at: moment,
                update_at: moment,
                status: FileStatus::Available,
                location: sha1.into(),
            },
            version: i64::MAX,
            position: Position {
                upload_at: moment,
                id: 7,
            },
        };
        let json = serde_json::to_string(&CachedEntry::from(&entry)).unwrap();
        let again: CachedEntry<'_> = serde_json::from_str(&json).unwrap();
        assert_eq!(Entry::from(again), entry);
        // If this form changes, increase its version, so that running processes of the previous
        // release do not read a form that they do not know.
        let digits = ["ab".repeat(20), "07".repeat(32)];
        let form = format!(
            "{{\"id\":7,\"version\":9223372036854775807,\"meta\":{{\"file_sha1\":\"{0}\",\
             \"file_sha256\":\"{1}\",\"file_name\":\"\u{6570}.bin\",\"file_size\":5497558138880,\
             \"content_type\":\"text/plain\",\"upload_at\":\"2023-11-14T22:13:20.123456Z\",\
             \"update_at\":\"2023-11-14T22:13:20.123456Z\",\"status\":\"available\",\
             \"location\":\"/files/{0}/content\"}}}}",
            digits[0], digits[1]
        );
        assert_eq!((json, ENTRY_FORMAT), (form, 1));
    }
}
