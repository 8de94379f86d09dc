//! Status of uploads.

use std::time::Duration;

use domain::{Owner, Protocol, RandomId, Role, Session, SessionState, Timestamp};

use crate::{Error, FileService, Result};

/// An upload and its offset.
#[derive(Debug, Clone)]
pub struct UploadStatus {
    /// The upload.
    pub session: Session,
    /// Number of staged bytes; `None` while the upload is assembled from partial uploads.
    pub offset: Option<u64>,
}

impl FileService {
    /// Returns the status of an upload, and completes it if it has all its bytes.
    ///
    /// It does not wait for requests that send bytes.
    ///
    /// # Errors
    ///
    /// [`Error::UploadNotFound`] or [`Error::UploadGone`]; any error of completing the upload.
    pub async fn upload_status(
        &self,
        owner: &Owner,
        protocol: Protocol,
        id: RandomId,
    ) -> Result<UploadStatus> {
        let status = self.read_status(owner, protocol, id).await?;
        let session = &status.session;
        match session.role {
            _ if session.state != SessionState::Open || session.protocol != Protocol::Tus => {}
            Role::Final => {
                self.assemble_later(session.clone());
                return Ok(UploadStatus {
                    offset: None,
                    ..status
                });
            }
            Role::Whole if session.length == status.offset => {
                self.complete(session).await?;
                return self.read_status(owner, protocol, id).await;
            }
            Role::Whole | Role::Part => {}
        }
        Ok(status)
    }

    pub(super) async fn read_status(
        &self,
        owner: &Owner,
        protocol: Protocol,
        id: RandomId,
    ) -> Result<UploadStatus> {
        // The bytes first: they are removed only after the row says that they are not needed.
        let staged = self.staged_bytes(id).await?;
        let session = self.find_session(owner, protocol, id).await?;
        let offset = match session.state {
            SessionState::Done(_) => session.length,
            _ => Some(staged),
        };
        Ok(UploadStatus { session, offset })
    }

    /// Returns the expiry of an upload.
    ///
    /// # Errors
    ///
    /// [`Error::UploadNotFound`] or [`Error::UploadGone`].
    pub async fn find_expiry(
        &self,
        owner: &Owner,
        protocol: Protocol,
        id: RandomId,
    ) -> Result<Timestamp> {
        Ok(self.find_session(owner, protocol, id).await?.expires_at)
    }

    /// Time left until a moment; zero if it has passed.
    #[must_use]
    pub fn time_until(&self, moment: Timestamp) -> Duration {
        let now = self.0.clock.now().microseconds();
        let left = moment.microseconds().saturating_sub(now);
        Duration::from_micros(left.max(0).unsigned_abs())
    }

    pub(super) async fn find_session(
        &self,
        owner: &Owner,
        protocol: Protocol,
        id: RandomId,
    ) -> Result<Session> {
        let found = self.0.database.sessions().find(owner, protocol, id).await?;
        let session = found.ok_or(Error::UploadNotFound)?;
        if session.state == SessionState::Failed || session.expires_at <= self.0.clock.now() {
            return Err(Error::UploadGone);
        }
        Ok(session)
    }
}
