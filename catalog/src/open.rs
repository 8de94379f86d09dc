//! Giving a file back.

use domain::Sha1;
use storage::Object;

use crate::{Catalog, Entry, Error, Result};

/// An owner's file whose bytes are known to be somewhere.
pub struct Download {
    catalog: Catalog,
    content: persistence::StoredContent,
}

impl Catalog {
    /// Finds the bytes of a file that its owner was found to have.
    ///
    /// # Errors
    ///
    /// [`Error::ContentLost`] when there are none: a defect, never a "not found".
    pub async fn locate(&self, entry: &Entry) -> Result<Download> {
        let sha1: Sha1 = entry.meta.file_sha1;
        let content = self.0.database.contents().find(&sha1).await?;
        Ok(Download {
            catalog: self.clone(),
            content: content.ok_or(Error::ContentLost(sha1, None))?,
        })
    }
}

impl Download {
    /// Opens the bytes, and gets ready to read them from `start`.
    ///
    /// # Errors
    ///
    /// [`Error::ContentLost`] when they are not there, or not as many as there should be.
    pub async fn open(&self, start: u64) -> Result<Object> {
        let content = &self.content.content;
        let store = &self.catalog.0.store;
        let opened = store
            .open_object(&self.content.address.key, content.size, start)
            .await;
        opened.map_err(|error| match error {
            storage::Error::Missing(_) | storage::Error::WrongSize { .. } => {
                Error::ContentLost(content.sha1, Some(error))
            }
            error => error.into(),
        })
    }
}
