//! Makes files of complete uploads.

use domain::{Owner, Session, SessionState, Sha1};
use storage::{AppendOutcome, AppendedBytes};
use tracing::Instrument as _;

use crate::{
    Error, Expected, FileService, Result, Stored, boxed, store_content::NewEntry,
    takeover::UploadLock,
};

impl FileService {
    /// Makes a file of an upload. The work continues if the client disconnects.
    pub(super) async fn finish(
        &self,
        session: Session,
        kept: AppendedBytes,
        lock: UploadLock,
    ) -> Result<Stored> {
        let service = self.clone();
        let work = async move {
            let stored = service.make_file(&session, kept).await;
            drop(lock);
            stored
        };
        let work = tokio::spawn(work.in_current_span());
        work.await.unwrap_or_else(|stopped| {
            tracing::error!(%stopped, "the upload task failed");
            Err(Error::Interrupted)
        })
    }

    async fn make_file(&self, session: &Session, kept: AppendedBytes) -> Result<Stored> {
        let received = kept.finish()?;
        let made = match Expected::of_session(session).verify(&received.content) {
            Ok(()) => {
                let new_entry = NewEntry {
                    owner: &session.owner,
                    file_name: &session.file_name,
                    content_type: &session.content_type,
                    session: Some(session.id),
                    // The quota may have changed since the upload began.
                    quota: Some(self.0.limits.quota),
                };
                self.store_content(&new_entry, received).await
            }
            Err(wrong) => {
                // The bytes can be removed only after the open file is closed.
                drop(received);
                Err(wrong)
            }
        };
        match made {
            Ok(stored) => {
                self.drop_bytes(session).await;
                Ok(stored)
            }
            Err(Error::SessionOver) => {
                // Another process was faster, or the upload was removed.
                let standing = self.find_session(&session.owner, session.protocol, session.id);
                match standing.await?.state {
                    SessionState::Done(sha1) => self.find_stored(&session.owner, &sha1).await,
                    _ => Err(Error::Contended),
                }
            }
            Err(refusal) if refusal.is_final() => {
                self.fail(session).await?;
                Err(refusal)
            }
            Err(error) => Err(error),
        }
    }

    /// Completes an upload that has all its bytes.
    ///
    /// # Errors
    ///
    /// As [`Append::end`](super::Append::end).
    pub(super) async fn complete(&self, session: &Session) -> Result<()> {
        let lock = self.0.upload_locks.join(session.id).await?;
        let found = self.find_session(&session.owner, session.protocol, session.id);
        let session = found.await?;
        if session.state != SessionState::Open {
            return Ok(());
        }
        let appending = self
            .append_to(&session.owner, session.id, Vec::new())
            .await?;
        if let AppendOutcome::Appended(kept) = appending.end(true).await?
            && session.length == Some(kept.offset())
        {
            return self.finish(session, *kept, lock).await.map(drop);
        }
        // The upload has fewer bytes than its status said, or another process has completed it.
        let now = self.find_session(&session.owner, session.protocol, session.id);
        if now.await?.state != SessionState::Open {
            self.drop_bytes(&session).await;
        }
        Ok(())
    }

    /// Finds the file of a complete upload.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] when the file was deleted since.
    #[boxed]
    pub async fn find_stored(&self, owner: &Owner, sha1: &Sha1) -> Result<Stored> {
        Ok(Stored::known(self.find_uncached(owner, sha1).await?))
    }

    /// Marks an upload as failed and removes its bytes.
    pub(super) async fn fail(&self, session: &Session) -> Result<()> {
        self.0.database.sessions().mark_failed(session.id).await?;
        self.drop_bytes(session).await;
        Ok(())
    }

    /// Removes bytes that are no longer needed; those that cannot be removed now go with the
    /// upload's row.
    pub(super) async fn drop_bytes(&self, session: &Session) {
        if let Err(error) = self.remove_staged(session.id).await {
            tracing::warn!(upload = %session.id, %error, "could not remove the staged bytes, retrying later");
        }
    }
}
