//! Renames, deletes and restores files.

use domain::{EntryUpdate, FileName, FileStatus, Owner, Sha1};

use crate::{Entry, Error, FileService, Result};

/// Maximum number of attempts when other requests change the entry at the same time.
const MAX_ATTEMPTS: u32 = 10;

/// Changes to a file.
#[derive(Debug, Clone, Default)]
pub struct FileUpdate {
    /// New name.
    pub file_name: Option<FileName>,
    /// New status: available or deleted.
    pub status: Option<FileStatus>,
}

impl FileService {
    /// Updates an owner's file if the entry meets a condition, and returns the new entry.
    ///
    /// A deleted file is found only by an update that restores it. An update that changes nothing
    /// is not written.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`], or [`Error::PreconditionFailed`] when the condition is not met.
    pub async fn update(
        &self,
        owner: &Owner,
        sha1: &Sha1,
        update: &FileUpdate,
        condition: impl Fn(&Entry) -> bool,
    ) -> Result<Entry> {
        let restores = update.status == Some(FileStatus::Available);
        self.update_entry(owner, sha1, condition, |entry| {
            if entry.meta.status == FileStatus::Deleted && !restores {
                return Err(Error::NotFound);
            }
            let file_name = update.file_name.as_ref().unwrap_or(&entry.meta.file_name);
            Ok((
                file_name.clone(),
                Some(update.status.unwrap_or(entry.meta.status)),
            ))
        })
        .await
    }

    /// Deletes an owner's file if the entry meets a condition.
    ///
    /// The file can be restored, unless `for_good` is set, which also applies to deleted files.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`], or [`Error::PreconditionFailed`] when the condition is not met.
    pub async fn remove(
        &self,
        owner: &Owner,
        sha1: &Sha1,
        for_good: bool,
        condition: impl Fn(&Entry) -> bool,
    ) -> Result<()> {
        self.update_entry(owner, sha1, condition, |entry| {
            if entry.meta.status == FileStatus::Deleted && !for_good {
                return Err(Error::NotFound);
            }
            let status = (!for_good).then_some(FileStatus::Deleted);
            Ok((entry.meta.file_name.clone(), status))
        })
        .await
        .map(drop)
    }

    async fn update_entry(
        &self,
        owner: &Owner,
        sha1: &Sha1,
        condition: impl Fn(&Entry) -> bool,
        becomes: impl Fn(&Entry) -> Result<(FileName, Option<FileStatus>)>,
    ) -> Result<Entry> {
        let entries = self.0.database.entries();
        for _ in 0..MAX_ATTEMPTS {
            let seen = entries.find_for_update(owner, sha1).await?;
            let seen = seen.ok_or(Error::NotFound)?;
            let (file_name, status) = becomes(&seen)?;
            if !condition(&seen) {
                return Err(Error::PreconditionFailed);
            }
            if seen.meta.file_name == file_name && Some(seen.meta.status) == status {
                return Ok(seen);
            }
            let change = EntryUpdate {
                file_name,
                status,
                at: self.0.clock.now(),
            };
            if self.commit_update(owner, &seen, &change).await? {
                return Ok(updated(seen, change));
            }
        }
        Err(Error::Contended)
    }
}

fn updated(mut entry: Entry, change: EntryUpdate) -> Entry {
    entry.version += 1;
    entry.meta.file_name = change.file_name;
    entry.meta.status = change.status.unwrap_or(FileStatus::Deleted);
    entry.meta.update_at = change.at;
    entry
}
