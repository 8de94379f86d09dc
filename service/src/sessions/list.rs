//! Listings of an owner's unfinished uploads, in pages.

use domain::{Owner, RandomId, Role, Session};

use super::status::UploadStatus;
use crate::{FileService, Result};

/// A page of a listing of uploads.
#[derive(Debug)]
pub struct UploadPage {
    /// The uploads, newest first, without the metadata that their clients sent.
    pub uploads: Vec<UploadStatus>,
    /// Cursor of the next page; `None` on the last page.
    pub next: Option<String>,
}

impl FileService {
    /// Lists up to `limit` of an owner's unfinished uploads after the cursor, newest first.
    ///
    /// Requests that append to them go on meanwhile.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidCursor`](crate::Error::InvalidCursor) for a cursor from another listing; or
    /// when the database or the store fails.
    pub async fn list_uploads(
        &self,
        owner: &Owner,
        cursor: Option<&str>,
        limit: u64,
    ) -> Result<UploadPage> {
        let key = &self.0.cursor_key;
        let after = cursor
            .map(|cursor| key.open_upload(owner, cursor))
            .transpose()?;
        let sessions = self.0.database.sessions();
        let now = self.0.clock.now();
        // One extra upload shows whether there is another page.
        let mut found = sessions.list_open(owner, after, now, limit + 1).await?;
        let is_end = found.len() as u64 <= limit;
        if !is_end {
            found.pop();
        }
        let next = found
            .last()
            .filter(|_| !is_end)
            .map(|last| key.seal_upload(owner, last.position()));
        let uploads = self.with_offsets(found).await?;
        Ok(UploadPage { uploads, next })
    }

    async fn with_offsets(&self, sessions: Vec<Session>) -> Result<Vec<UploadStatus>> {
        let ids: Vec<RandomId> = sessions.iter().map(|session| session.id).collect();
        let staged = self.staged_bytes_of(&ids).await?;
        let uploads = sessions.into_iter().zip(staged);
        Ok(uploads
            .map(|(session, staged)| UploadStatus {
                offset: (session.role != Role::Final).then_some(staged),
                session,
            })
            .collect())
    }
}
