//! Remove.

use domain::{Owner, RandomId};
use persistence::Protocol;

use crate::{FileService, Result};

impl FileService {
    /// Ends an upload and drops its bytes; a file that it has become stays.
    ///
    /// # Errors
    ///
    /// [`Error::UploadNotFound`] or [`Error::UploadGone`].
    pub async fn remove_upload(
        &self,
        owner: &Owner,
        protocol: Protocol,
        id: RandomId,
    ) -> Result<()> {
        // Strangers take no turns.
        self.find_session(owner, protocol, id).await?;
        let _lock = self.0.upload_locks.take_over(id).await?;
        self.find_session(owner, protocol, id).await?;
        // In this order: whoever holds the bytes in another process has to let go of them first.
        self.remove_staged(id).await?;
        Ok(self.0.database.sessions().remove(&[id]).await?)
    }

    /// Gives an upload up that cannot become a file any more, and drops its bytes.
    ///
    /// # Errors
    ///
    /// [`Error::UploadNotFound`] or [`Error::UploadGone`].
    pub async fn give_up(&self, owner: &Owner, protocol: Protocol, id: RandomId) -> Result<()> {
        let _lock = self.0.upload_locks.take_over(id).await?;
        let session = self.find_session(owner, protocol, id).await?;
        self.fail(&session).await
    }
}
