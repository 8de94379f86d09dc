//! Status of uploads.

use std::time::Duration;

use domain::{FileStatus, Owner, Protocol, RandomId, Role, Session, SessionState, Sha1, Timestamp};

use crate::{Error, FileService, Result, boxed};

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
    /// A request that is appending to it ends first, so that the offset is the one at which the next
    /// append is accepted.
    ///
    /// # Errors
    ///
    /// [`Error::UploadNotFound`]; [`Error::UploadGone`], also when the file that it became is gone;
    /// [`Error::Contended`] when the other request does not end; any error of completing the upload.
    #[boxed]
    pub async fn upload_status(
        &self,
        owner: &Owner,
        protocol: Protocol,
        id: RandomId,
    ) -> Result<UploadStatus> {
        let status = self.settled_status(owner, protocol, id).await?;
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
                return self.settled_status(owner, protocol, id).await;
            }
            Role::Whole | Role::Part => {}
        }
        Ok(status)
    }

    /// Reads an upload and its offset after the request that appends to it has ended.
    async fn settled_status(
        &self,
        owner: &Owner,
        protocol: Protocol,
        id: RandomId,
    ) -> Result<UploadStatus> {
        // Requests of other owners take no lock.
        let session = self.find_session(owner, protocol, id).await?;
        if session.state != SessionState::Open || session.role == Role::Final {
            return self.status_of(session, 0).await;
        }
        let lock = self.0.upload_locks.settle(id).await?;
        let staged = self.settle_staged(&session.owner, id).await?;
        let session = self.find_session(owner, protocol, id).await?;
        if session.state != SessionState::Open {
            // Another process completed it, and its bytes were opened again since.
            self.drop_bytes(&session).await;
        }
        drop(lock);
        self.status_of(session, staged).await
    }

    /// Reads an upload and its offset without a lock, while others may append to it.
    pub(super) async fn read_status(
        &self,
        owner: &Owner,
        protocol: Protocol,
        id: RandomId,
    ) -> Result<UploadStatus> {
        // The bytes first: they are removed only after the row says that they are not needed.
        let staged = self.staged_bytes(id).await?;
        let session = self.find_session(owner, protocol, id).await?;
        self.status_of(session, staged).await
    }

    /// The status of an upload with this number of staged bytes.
    async fn status_of(&self, session: Session, staged: u64) -> Result<UploadStatus> {
        let offset = match session.state {
            SessionState::Done(sha1) => {
                self.require_file(&session.owner, &sha1).await?;
                session.length
            }
            _ => Some(staged),
        };
        Ok(UploadStatus { session, offset })
    }

    /// Refuses to speak of a complete upload whose file is gone: a client would take it for stored.
    pub(super) async fn require_file(&self, owner: &Owner, sha1: &Sha1) -> Result<()> {
        // Of the primary, since a replica may not have the file yet.
        let entries = self.0.database.entries();
        match entries.find_for_update(owner, sha1).await? {
            Some(entry) if entry.meta.status == FileStatus::Available => Ok(()),
            _ => Err(Error::UploadGone),
        }
    }

    /// Returns the expiry of an upload.
    ///
    /// # Errors
    ///
    /// [`Error::UploadNotFound`] or [`Error::UploadGone`].
    #[boxed]
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
