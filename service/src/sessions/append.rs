//! Appends the bytes of one request to an upload.

use std::time::Duration;

use domain::{Extent, Role, Session, Timestamp, UploadError};
use storage::{AppendOutcome, AppendWriter, AppendedBytes};
use tokio::time::{Instant, sleep_until};

use super::append_request::Completion;
use crate::{Error, Expected, FileService, Result, Stored, boxed, takeover::UploadLock};

/// Interval at which to check whether a request to another process continues the upload.
pub(super) const TAKEOVER_POLL_INTERVAL: Duration = Duration::from_millis(500);

/// A request that appends to an upload. Bytes that have arrived are kept when it is dropped.
pub struct Append {
    pub(super) service: FileService,
    pub(super) session: Session,
    pub(super) extent: Extent,
    pub(super) completion: Completion,
    pub(super) appending: AppendWriter,
    /// Bytes reserved in the owner's quota while the upload's length is unknown.
    pub(super) reserved: Option<u64>,
    pub(super) lock: UploadLock,
    /// Next time to check whether another process continues the upload.
    pub(super) next_poll: Instant,
}

/// Result of an append.
#[derive(Debug)]
pub enum Outcome {
    /// The upload has `offset` bytes and can be continued until it expires.
    Open {
        /// Number of staged bytes.
        offset: u64,
        /// Expiry of the upload.
        expires_at: Timestamp,
    },
    /// The upload has become a file.
    Stored {
        /// The file.
        stored: Box<Stored>,
        /// Time until which the status of the upload can be queried.
        expires_at: Timestamp,
    },
}

impl Append {
    /// Waits until a newer request continues the upload, or until it is time to
    /// [check](Append::is_superseded) the other processes.
    #[boxed]
    pub async fn superseded(&self) {
        tokio::select! {
            () = self.lock.superseded() => {}
            () = sleep_until(self.next_poll) => {}
        }
    }

    /// Returns whether a newer request continues the upload.
    ///
    /// Requests to other processes are detected by a check every half second.
    ///
    /// # Errors
    ///
    /// When the store fails.
    #[boxed]
    pub async fn is_superseded(&mut self) -> Result<bool> {
        if self.lock.is_superseded() {
            return Ok(true);
        }
        if Instant::now() < self.next_poll {
            return Ok(false);
        }
        self.next_poll = Instant::now() + TAKEOVER_POLL_INTERVAL;
        Ok(self.appending.is_superseded().await?)
    }

    /// Writes the next bytes, up to the length of the upload.
    ///
    /// # Errors
    ///
    /// [`Error::Upload`] when there are more bytes, [`Error::QuotaFull`], or when the store fails.
    #[boxed]
    pub async fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let extent = Extent {
            offset: self.appending.offset(),
            ..self.extent
        };
        let needed = extent.offset.saturating_add(bytes.len() as u64);
        if let Some(reserved) = self.reserved.filter(|reserved| needed > *reserved) {
            let service = &self.service;
            self.reserved = service
                .reserve_for_session(&self.session, reserved, needed)
                .await?;
        }
        let room = usize::try_from(extent.remaining().unwrap_or(u64::MAX)).unwrap_or(usize::MAX);
        let fitting = &bytes[..bytes.len().min(room)];
        self.appending.write(fitting).await.map_err(superseded)?;
        Ok(extent.admit(bytes.len() as u64)?)
    }

    /// Ends an incomplete request, keeps its bytes, and returns the offset of the upload.
    ///
    /// # Errors
    ///
    /// When the store or the database fails.
    #[boxed]
    pub async fn break_off(self) -> Result<u64> {
        let _held = self.lock;
        let offset = self.appending.suspend().await.map_err(superseded)?;
        self.service.extend_expiry(&self.session).await?;
        self.service
            .trim_reservation(&self.session, self.reserved.is_some(), offset)
            .await?;
        Ok(offset)
    }

    /// Marks the upload as failed and removes its bytes.
    ///
    /// # Errors
    ///
    /// When the store or the database fails.
    #[boxed]
    pub async fn fail(self) -> Result<()> {
        let _held = self.lock;
        self.appending.suspend().await?;
        self.service.fail(&self.session).await
    }

    /// Ends a request whose bytes have all arrived, and completes the upload if it has all its
    /// bytes.
    ///
    /// # Errors
    ///
    /// [`Error::WrongChecksum`]; [`Error::Upload`] when the request completes the upload, but the
    /// length differs from the declared one; any error of completing the upload.
    #[boxed]
    pub async fn end(self) -> Result<Outcome> {
        let extent = Extent {
            offset: self.appending.offset(),
            ..self.extent
        };
        let is_complete = match self.completion {
            Completion::AtLength => extent.is_full(),
            Completion::Now => extent.length.is_none_or(|known| known == extent.offset),
            Completion::NotYet => false,
        };
        let is_last = is_complete && self.session.role != Role::Part;
        let kept = match self.appending.end(is_last).await.map_err(superseded)? {
            AppendOutcome::Appended(kept) => kept,
            AppendOutcome::ChecksumMismatch(offset) => return Err(Error::WrongChecksum(offset)),
        };
        let expires_at = self.service.extend_expiry(&self.session).await?;
        if let (Completion::Now, false, Some(known)) = (self.completion, is_complete, extent.length)
        {
            let given = extent.offset;
            return Err(UploadError::Length { known, given }.into());
        }
        if !is_complete {
            let offset = extent.offset;
            self.service
                .trim_reservation(&self.session, self.reserved.is_some(), offset)
                .await?;
            return Ok(Outcome::Open { offset, expires_at });
        }
        if self.session.role == Role::Part {
            return self
                .service
                .end_part(&self.session, *kept, expires_at)
                .await;
        }
        let stored = self.service.finish(self.session, *kept, self.lock).await?;
        Ok(Outcome::Stored {
            stored: Box::new(stored),
            expires_at,
        })
    }
}

impl FileService {
    /// Completes a partial upload: verifies its digests and syncs it to the store.
    async fn end_part(
        &self,
        session: &Session,
        kept: AppendedBytes,
        expires_at: Timestamp,
    ) -> Result<Outcome> {
        if let Err(wrong) = Expected::of_session(session).verify(&kept.content()) {
            // The bytes can be removed only after the open file is closed.
            drop(kept);
            self.fail(session).await?;
            return Err(wrong);
        }
        kept.sync().await?;
        let offset = kept.offset();
        Ok(Outcome::Open { offset, expires_at })
    }

    /// Reduces the reservation of an upload of unknown length to the bytes that it has, until its
    /// next request.
    async fn trim_reservation(&self, session: &Session, is_held: bool, bytes: u64) -> Result<()> {
        if is_held {
            self.0
                .database
                .sessions()
                .reserve_bytes(session.id, bytes)
                .await?;
        }
        Ok(())
    }

    /// Extends the expiry of an upload after a request, and returns it. The row is updated only if
    /// the difference is large enough.
    pub(super) async fn extend_expiry(&self, session: &Session) -> Result<Timestamp> {
        let age = self.0.limits.upload_age;
        let now = self.0.clock.now();
        if session.expires_at >= now.after(age.mul_f64(0.96)) {
            return Ok(session.expires_at);
        }
        let expires_at = now.after(age);
        let sessions = self.0.database.sessions();
        sessions.set_expiry(session.id, expires_at).await?;
        Ok(expires_at)
    }
}

/// If the upload is in use although this request had the lock, a newer request has taken it over.
fn superseded(error: storage::Error) -> Error {
    match error {
        storage::Error::InUse => Error::Superseded,
        error => error.into(),
    }
}
