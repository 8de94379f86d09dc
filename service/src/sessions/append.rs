//! Appending one request's bytes to an upload.

use std::time::Duration;

use domain::{Extent, Timestamp, UploadError};
use persistence::{Role, Session};
use storage::{Appending, End, Kept};
use tokio::time::{Instant, sleep_until};

use super::append_request::Completion;
use crate::{Error, Expected, FileService, Result, Stored, takeover::UploadLock};

/// How often to look whether another process wants to go on with an upload.
pub(super) const TAKEOVER_POLL_INTERVAL: Duration = Duration::from_millis(500);

/// A request that appends to an upload; dropping it keeps what has come.
pub struct Append {
    pub(super) service: FileService,
    pub(super) session: Session,
    pub(super) extent: Extent,
    pub(super) completion: Completion,
    pub(super) appending: Appending,
    /// How much is set aside for it of its owner's quota, while nobody knows how many bytes it will
    /// have.
    pub(super) reserved: Option<u64>,
    pub(super) lock: UploadLock,
    /// When to look whether another process wants to go on with the upload.
    pub(super) next_poll: Instant,
}

/// What came of appending.
#[derive(Debug)]
pub enum Outcome {
    /// The upload has so many bytes, and waits for more until it expires.
    Open {
        /// How many bytes it has.
        offset: u64,
        /// Until when it is kept.
        expires_at: Timestamp,
    },
    /// The upload has become a file.
    Stored {
        /// The file.
        stored: Box<Stored>,
        /// Until when the upload can still be asked about.
        expires_at: Timestamp,
    },
}

impl Append {
    /// Waits until a newer request wants to go on with the upload, or it is time to
    /// [look](Append::is_superseded) whether one of another process does.
    pub async fn superseded(&self) {
        tokio::select! {
            () = self.lock.superseded() => {}
            () = sleep_until(self.next_poll) => {}
        }
    }

    /// Whether a newer request wants to go on with the upload.
    ///
    /// Of those of another process it is heard from time to time.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn is_superseded(&mut self) -> Result<bool> {
        if self.lock.is_superseded() {
            return Ok(true);
        }
        if Instant::now() < self.next_poll {
            return Ok(false);
        }
        self.next_poll = Instant::now() + TAKEOVER_POLL_INTERVAL;
        Ok(self.appending.is_wanted().await?)
    }

    /// Takes in the next bytes, as many as there is room for.
    ///
    /// # Errors
    ///
    /// [`Error::Upload`] when there are more, [`Error::QuotaFull`], or when the store fails.
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
        let room = usize::try_from(extent.room().unwrap_or(u64::MAX)).unwrap_or(usize::MAX);
        let fitting = &bytes[..bytes.len().min(room)];
        self.appending.write(fitting).await.map_err(superseded)?;
        Ok(extent.admit(bytes.len() as u64)?)
    }

    /// Ends when not all bytes have come that were to come, and gives how many there are.
    ///
    /// # Errors
    ///
    /// When the store or the database fails.
    pub async fn break_off(self) -> Result<u64> {
        let offset = self.appending.break_off().await.map_err(superseded)?;
        self.service.extend_expiry(&self.session).await?;
        self.service
            .trim_reservation(&self.session, self.reserved.is_some(), offset)
            .await?;
        Ok(offset)
    }

    /// Gives the upload up: nothing can be appended any more, and its bytes are dropped.
    ///
    /// # Errors
    ///
    /// When the store or the database fails.
    pub async fn give_up(self) -> Result<()> {
        self.appending.break_off().await?;
        self.service.fail(&self.session).await
    }

    /// Ends when all bytes of the request have come, and completes the upload if they were the
    /// last ones.
    ///
    /// # Errors
    ///
    /// [`Error::WrongChecksum`], [`Error::Upload`] when it is to be complete and has another
    /// length than was said; or what finishing the upload may say.
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
            End::Kept(kept) => kept,
            End::WrongChecksum(offset) => return Err(Error::WrongChecksum(offset)),
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
    /// A part stays as it is, if it is what it was said to be, and is on the disk.
    async fn end_part(
        &self,
        session: &Session,
        kept: Kept,
        expires_at: Timestamp,
    ) -> Result<Outcome> {
        if let Err(wrong) = Expected::of_session(session).verify(&kept.content()) {
            // Its bytes can be removed once nobody holds them.
            drop(kept);
            self.fail(session).await?;
            return Err(wrong);
        }
        kept.sync().await?;
        let offset = kept.offset();
        Ok(Outcome::Open { offset, expires_at })
    }

    /// Sets aside what an upload of unknown length has, until its next request.
    async fn trim_reservation(&self, session: &Session, is_held: bool, bytes: u64) -> Result<()> {
        if is_held {
            self.0.database.sessions().hold(session.id, bytes).await?;
        }
        Ok(())
    }

    /// When an upload is over of which something was just heard; the row is changed only if that
    /// makes a difference.
    pub(super) async fn extend_expiry(&self, session: &Session) -> Result<Timestamp> {
        let age = self.0.limits.upload_age;
        let now = self.0.clock.now();
        if session.expires_at >= now.after(age.mul_f64(0.96)) {
            return Ok(session.expires_at);
        }
        let expires_at = now.after(age);
        let sessions = self.0.database.sessions();
        sessions.keep_until(session.id, expires_at).await?;
        Ok(expires_at)
    }
}

/// Whoever had a turn and finds the upload in use is not the newest any more.
fn superseded(error: storage::Error) -> Error {
    match error {
        storage::Error::InUse => Error::Superseded,
        error => error.into(),
    }
}
