//! Listings of an owner's files, in pages.

use domain::{EntryFilter, FileMeta, Owner};
use persistence::Part;

use crate::{FileService, Result, boxed};

/// The largest page that is read without waiting for a turn.
const SHORT_PAGE: u64 = 100;

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
    /// A search by name looks at a limited number of entries: its page may have fewer files than
    /// `limit`, even none, and a next page.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidCursor`](crate::Error::InvalidCursor) for a cursor from another listing;
    /// [`Error::TooManyListings`](crate::Error::TooManyListings) or
    /// [`Error::ListingsBusy`](crate::Error::ListingsBusy) if others run for too long; or when the
    /// database fails.
    #[boxed]
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
        let entries = self.0.database.entries();
        let (mut turn, mut last) = (None, None);
        // A look-up of some contents reads no other entries, whatever name they must have.
        let is_search = filter.name.is_some() && filter.sha1s.is_none();
        if is_search || limit > SHORT_PAGE {
            turn = Some(self.0.listing_turns.take(owner).await?);
        }
        if is_search && let Some(count) = self.0.limits.search_entries {
            let find = entries.find_position(owner, filter.status, after, count);
            last = find.await?;
        }
        // One extra entry shows whether there is another page.
        let part = Part { after, last };
        let mut found = entries.list(owner, filter, part, limit + 1).await?;
        drop(turn);
        if found.len() as u64 > limit {
            found.pop();
            last = found.last().map(|entry| entry.position);
        }
        let next = last.map(|last| self.0.cursor_key.seal(owner, filter, last));
        Ok(Page {
            files: found.into_iter().map(|entry| entry.meta).collect(),
            next,
        })
    }
}
