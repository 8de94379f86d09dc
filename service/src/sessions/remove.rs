//! Removes uploads.

use domain::{Owner, Protocol, RandomId};

use crate::{FileService, Result, boxed};

impl FileService {
    /// Removes an upload and its bytes. A file that it has become stays.
    ///
    /// # Errors
    ///
    /// [`UploadNotFound`](crate::Error::UploadNotFound) or [`UploadGone`](crate::Error::UploadGone).
    #[boxed]
    pub async fn remove_upload(
        &self,
        owner: &Owner,
        protocol: Protocol,
        id: RandomId,
    ) -> Result<()> {
        // Requests of other owners take no lock.
        self.find_session(owner, protocol, id).await?;
        let _lock = self.0.upload_locks.take_over(id).await?;
        self.find_session(owner, protocol, id).await?;
        // The bytes first: a request in another process that has them open must release them before
        // the row goes.
        self.remove_staged(id).await?;
        Ok(self.0.database.sessions().remove(&[id]).await?)
    }

    /// Marks an upload as failed because it cannot become a file, and removes its bytes.
    ///
    /// # Errors
    ///
    /// [`UploadNotFound`](crate::Error::UploadNotFound) or [`UploadGone`](crate::Error::UploadGone).
    #[boxed]
    pub async fn fail_upload(&self, owner: &Owner, protocol: Protocol, id: RandomId) -> Result<()> {
        let _lock = self.0.upload_locks.take_over(id).await?;
        let session = self.find_session(owner, protocol, id).await?;
        self.fail(&session).await
    }
}
