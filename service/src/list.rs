//! Listings of an owner's files, in pages.

use domain::{EntryFilter, FileMeta, Owner};

use crate::{FileService, Result};

/// A page of a listing.
#[derive(Debug)]
pub struct Page {
    /// The files, newest first.
    pub files: Vec<FileMeta>,
    /// Cursor of the next page; `None` on the last page.
    pub next: Option<String>,
}

impl FileService {
    /// Lists up to `limit` of an owner's files after the cursor, newest first.
    ///
    /// Files added during a listing come before the first page, and deleted files are left out. So
    /// no file appears twice, and none is skipped.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidCursor`](crate::Error::InvalidCursor) for a cursor from another listing; or
    /// when the database fails.
    pub async fn list(
        &self,
        owner: &Owner,
        filter: &EntryFilter,
        cursor: Option<&str>,
        limit: u64,
    ) -> Result<Page> {
        let after = cursor
            .map(|cursor| self.0.cursor_key.open(owner, filter, cursor))
            .transpose()?;
        // One extra entry shows whether there is another page.
        let entries = self.0.database.entries();
        let mut found = entries.list(owner, filter, after, limit + 1).await?;
        let is_end = found.len() as u64 <= limit;
        if !is_end {
            found.pop();
        }
        let next = found
            .last()
            .filter(|_| !is_end)
            .map(|last| self.0.cursor_key.seal(owner, filter, last.position));
        Ok(Page {
            files: found.into_iter().map(|entry| entry.meta).collect(),
            next,
        })
    }
}
