//! Making a file of an upload whose bytes are all there.

use domain::{Owner, Sha1};
use persistence::{Session, SessionState};
use storage::{End, Kept};
use tracing::Instrument as _;

use crate::{
    Error, Expected, FileService, Result, Stored, store_content::NewEntry, takeover::UploadLock,
};

impl FileService {
    /// Makes a file of an upload; from here on the work goes on even if nobody waits for it.
    pub(super) async fn finish(
        &self,
        session: Session,
        kept: Kept,
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
            tracing::error!(%stopped, "an upload did not come to its end");
            Err(Error::Interrupted)
        })
    }

    async fn make_file(&self, session: &Session, kept: Kept) -> Result<Stored> {
        let received = kept.finish()?;
        let made = match Expected::of_session(session).verify(&received.content) {
            Ok(()) => {
                let new_entry = NewEntry {
                    owner: &session.owner,
                    file_name: &session.file_name,
                    content_type: &session.content_type,
                    session: Some(session.id),
                    // The upload may have begun long ago.
                    quota: Some(self.0.limits.quota),
                };
                self.store_content(&new_entry, received).await
            }
            Err(wrong) => {
                // Its bytes can be removed once nobody holds them.
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

    /// Completion an upload all of whose bytes are there.
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
        let appending = self.append_to(session.id, Vec::new()).await?;
        if let End::Kept(kept) = appending.end(true).await?
            && session.length == Some(kept.offset())
        {
            return self.finish(session, *kept, lock).await.map(drop);
        }
        // There are fewer than it looked like; or another process has completed it.
        let now = self.find_session(&session.owner, session.protocol, session.id);
        if now.await?.state != SessionState::Open {
            self.drop_bytes(&session).await;
        }
        Ok(())
    }

    /// What an upload that is done has become.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] when the file was deleted since.
    pub async fn find_stored(&self, owner: &Owner, sha1: &Sha1) -> Result<Stored> {
        Ok(Stored::known(self.find_uncached(owner, sha1).await?))
    }

    /// Says that an upload will never be a file, and drops its bytes.
    pub(super) async fn fail(&self, session: &Session) -> Result<()> {
        self.0.database.sessions().fail(session.id).await?;
        self.drop_bytes(session).await;
        Ok(())
    }

    /// Drops bytes that are not needed any more; what cannot be dropped now goes with the upload's
    /// row.
    pub(super) async fn drop_bytes(&self, session: &Session) {
        if let Err(error) = self.remove_staged(session.id).await {
            tracing::warn!(upload = %session.id, %error, "staged bytes stay until later");
        }
    }
}
