//! Checks, locks and reservations before an append.

use domain::{Extent, Owner, Protocol, RandomId, Role, Session, SessionState};
use tokio::time::Instant;

use super::{
    append::{Append, TAKEOVER_POLL_INTERVAL},
    append_request::AppendRequest,
};
use crate::{Error, FileService, Result, boxed};

impl FileService {
    /// Begins to append to an upload, and stops any other request that appends to it.
    ///
    /// # Errors
    ///
    /// [`Error::UploadNotFound`], [`Error::UploadGone`], [`Error::UploadComplete`],
    /// [`Error::UploadIsFinal`], [`Error::Superseded`], [`Error::QuotaFull`], or [`Error::Upload`]
    /// when the request does not match the state of the upload. Nothing has changed after an error.
    #[boxed]
    pub async fn append(
        &self,
        owner: &Owner,
        protocol: Protocol,
        id: RandomId,
        request: AppendRequest,
    ) -> Result<Append> {
        // Requests of other owners and requests that come too late take no lock.
        self.find_open(owner, protocol, id).await?;
        let lock = self.0.upload_locks.take_over(id).await?;
        let appending = self.append_to(owner, id, request.checksums.clone()).await?;
        // Other requests may have changed the upload until the lock was taken.
        let fitting = match self.find_open(owner, protocol, id).await {
            Ok(session) => request
                .apply_to(self.extent(&session, appending.offset()))
                .map(|extent| (session, extent)),
            Err(over) => Err(over),
        };
        let (session, extent) = match fitting {
            Ok(fitting) => fitting,
            Err(refusal) => {
                appending.suspend().await?;
                if refusal.needs_no_bytes() {
                    self.remove_staged(id).await?;
                }
                return Err(refusal);
            }
        };
        let reserved = match self
            .reserve_for_append(&session, &extent, request.bytes)
            .await
        {
            Ok(reserved) => reserved,
            Err(refusal) => {
                appending.suspend().await?;
                return Err(refusal);
            }
        };
        Ok(Append {
            service: self.clone(),
            session,
            extent,
            completion: request.completion,
            appending,
            lock,
            reserved,
            next_poll: Instant::now() + TAKEOVER_POLL_INTERVAL,
        })
    }

    /// Reserves quota for the appended bytes, or for the whole upload if this request declares the
    /// length.
    async fn reserve_for_append(
        &self,
        session: &Session,
        extent: &Extent,
        bytes: Option<u64>,
    ) -> Result<Option<u64>> {
        match (session.length, extent.length) {
            (Some(_), _) => Ok(None),
            (None, Some(length)) => {
                let reserved = self.0.reservations.reserved(&session.owner);
                let (sessions, quota) = (self.0.database.sessions(), &self.0.limits.quota);
                let settled =
                    sessions.set_length(session, length, quota, &reserved, self.0.clock.now());
                settled.await?.then_some(None).ok_or(Error::Superseded)
            }
            (None, None) => {
                let needed = extent.offset.saturating_add(bytes.unwrap_or_default());
                let before = session.reserved_bytes.unwrap_or_default();
                self.reserve_for_session(session, before, needed).await
            }
        }
    }

    /// Finds an upload that accepts bytes.
    async fn find_open(&self, owner: &Owner, protocol: Protocol, id: RandomId) -> Result<Session> {
        let session = self.find_session(owner, protocol, id).await?;
        match session.state {
            _ if session.role == Role::Final => Err(Error::UploadIsFinal),
            SessionState::Done(sha1) => {
                self.require_file(owner, &sha1).await?;
                let length = session.length.unwrap_or_default();
                Err(Error::UploadComplete { sha1, length })
            }
            _ => Ok(session),
        }
    }

    fn extent(&self, session: &Session, offset: u64) -> Extent {
        Extent {
            offset,
            length: session.length,
            limit: self.0.limits.max_upload_size,
        }
    }
}
