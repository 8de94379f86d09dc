//! An owner's files, page by page.

use domain::{FileMeta, Owner};
use persistence::EntryFilter;

use crate::{FileService, Result};

/// A part of a listing.
#[derive(Debug)]
pub struct Page {
    /// The files, newest first.
    pub files: Vec<FileMeta>,
    /// Where the listing goes on, unless this was its end.
    pub next: Option<String>,
}

impl FileService {
    /// Lists up to `limit` of an owner's files, newest first, from where `cursor` says on.
    ///
    /// Files that are added while a client goes from page to page come before the first page;
    /// files that are deleted are left out; so no file is shown twice, and none is skipped.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidCursor`](crate::Error::InvalidCursor) for a cursor that is not from this owner's listing with this
    /// filter.
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
        // One more than is shown tells whether there is more.
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
