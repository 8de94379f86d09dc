//! Appending one request's bytes to an upload.

use std::time::Duration;

use domain::{Checksum, Extent, Owner, RandomId, Timestamp, UploadError};
use persistence::{Protocol, Role, Session, SessionState};
use storage::{Appending, End, Kept};
use tokio::time::{Instant, sleep_until};

use super::{expected, turns::Turn};
use crate::{Error, FileService, Result, Stored};

/// How often to look whether another process wants to go on with an upload.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// What makes an upload complete.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Completes {
    /// That it has as many bytes as was said.
    #[default]
    AtLength,
    /// That the request says so.
    Now,
    /// Nothing yet.
    NotYet,
}

/// What a request says about the bytes that it brings.
#[derive(Debug, Clone, Default)]
pub struct AppendRequest {
    /// How many bytes it takes the upload to have.
    pub offset: u64,
    /// How many the upload will have, if the request says so.
    pub length: Option<u64>,
    /// How many it brings, if that is known beforehand.
    pub bytes: Option<u64>,
    /// What they are to have.
    pub checksums: Vec<Checksum>,
    /// Whether the upload is complete then.
    pub completes: Completes,
}

/// Where an upload stands with what a request says of it, if the two fit together.
fn fit(stands: Extent, request: &AppendRequest) -> Result<Extent> {
    stands.go_on_from(request.offset)?;
    let extent = stands.with_length(request.length)?;
    let Some(bytes) = request.bytes else {
        return Ok(extent);
    };
    extent.admit(bytes)?;
    let given = extent.offset.saturating_add(bytes);
    match extent.length.filter(|known| *known != given) {
        Some(known) if request.completes == Completes::Now => {
            Err(UploadError::Length { known, given }.into())
        }
        _ => Ok(extent),
    }
}

/// Whoever had a turn and finds the upload in use is not the newest any more.
fn superseded(error: storage::Error) -> Error {
    match error {
        storage::Error::InUse => Error::Superseded,
        error => error.into(),
    }
}

/// A request that appends to an upload; dropping it keeps what has come.
pub struct Append {
    service: FileService,
    session: Session,
    extent: Extent,
    completes: Completes,
    appending: Appending,
    /// How much is set aside for it of its owner's quota, while nobody knows how many bytes it will
    /// have.
    aside: Option<u64>,
    turn: Turn,
    /// When to look whether another process wants to go on with the upload.
    look_at: Instant,
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

impl FileService {
    /// Begins to append to an upload, and ends whatever else was doing so.
    ///
    /// # Errors
    ///
    /// [`Error::UploadNotFound`], [`Error::UploadGone`], [`Error::UploadDone`],
    /// [`Error::UploadIsFinal`], [`Error::Superseded`], [`Error::QuotaFull`], or
    /// [`Error::Upload`] for what does not fit to where the upload stands; nothing was changed then.
    pub async fn append(
        &self,
        owner: &Owner,
        protocol: Protocol,
        id: RandomId,
        request: AppendRequest,
    ) -> Result<Append> {
        // Strangers, and those who come too late, take no turns.
        self.find_open(owner, protocol, id).await?;
        let turn = self.0.turns.take(id).await?;
        let appending = self.append_to(id, request.checksums.clone()).await?;
        // Others may have been at it until now.
        let fitting = match self.find_open(owner, protocol, id).await {
            Ok(session) => fit(self.extent(&session, appending.offset()), &request)
                .map(|extent| (session, extent)),
            Err(over) => Err(over),
        };
        let (session, extent) = match fitting {
            Ok(fitting) => fitting,
            Err(refusal) => {
                appending.break_off().await?;
                if refusal.is_over() {
                    self.remove_staged(id).await?;
                }
                return Err(refusal);
            }
        };
        let aside = match self.make_room(&session, &extent, request.bytes).await {
            Ok(aside) => aside,
            Err(refusal) => {
                appending.break_off().await?;
                return Err(refusal);
            }
        };
        Ok(Append {
            service: self.clone(),
            session,
            extent,
            completes: request.completes,
            appending,
            turn,
            aside,
            look_at: Instant::now() + LOOK_EVERY,
        })
    }

    /// Makes sure that an upload's owner has room for what is appended, and for all of the upload
    /// if that was said just now.
    async fn make_room(
        &self,
        session: &Session,
        extent: &Extent,
        bytes: Option<u64>,
    ) -> Result<Option<u64>> {
        match (session.length, extent.length) {
            (Some(_), _) => Ok(None),
            (None, Some(length)) => {
                let held = self.0.rooms.held(&session.owner);
                let (sessions, quota) = (self.0.database.sessions(), &self.0.limits.quota);
                let settled =
                    sessions.settle_length(session, length, quota, &held, self.0.clock.now());
                settled.await?.then_some(None).ok_or(Error::Superseded)
            }
            (None, None) => {
                let needed = extent.offset.saturating_add(bytes.unwrap_or_default());
                let before = session.held_bytes.unwrap_or_default();
                self.set_aside(session, before, needed).await
            }
        }
    }

    /// Sets aside what an upload of unknown length has, until its next request.
    async fn keep_room(&self, session: &Session, is_held: bool, bytes: u64) -> Result<()> {
        if is_held {
            self.0.database.sessions().hold(session.id, bytes).await?;
        }
        Ok(())
    }

    /// Finds an upload that bytes can be appended to.
    async fn find_open(&self, owner: &Owner, protocol: Protocol, id: RandomId) -> Result<Session> {
        let session = self.find_session(owner, protocol, id).await?;
        match session.state {
            _ if session.role == Role::Final => Err(Error::UploadIsFinal),
            SessionState::Done(sha1) => {
                let length = session.length.unwrap_or_default();
                Err(Error::UploadDone { sha1, length })
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

    /// When an upload is over of which something was just heard; the row is changed only if that
    /// makes a difference.
    pub(super) async fn prolong(&self, session: &Session) -> Result<Timestamp> {
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

impl Append {
    /// Waits until a newer request wants to go on with the upload, or it is time to
    /// [look](Append::is_wanted) whether one of another process does.
    pub async fn superseded(&self) {
        tokio::select! {
            () = self.turn.over() => {}
            () = sleep_until(self.look_at) => {}
        }
    }

    /// Whether a newer request wants to go on with the upload.
    ///
    /// Of those of another process it is heard from time to time.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn is_wanted(&mut self) -> Result<bool> {
        if self.turn.is_over() {
            return Ok(true);
        }
        if Instant::now() < self.look_at {
            return Ok(false);
        }
        self.look_at = Instant::now() + LOOK_EVERY;
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
        if let Some(aside) = self.aside.filter(|aside| needed > *aside) {
            let service = &self.service;
            self.aside = service.set_aside(&self.session, aside, needed).await?;
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
        self.service.prolong(&self.session).await?;
        self.service
            .keep_room(&self.session, self.aside.is_some(), offset)
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
        let completes = match self.completes {
            Completes::AtLength => extent.is_full(),
            Completes::Now => extent.length.is_none_or(|known| known == extent.offset),
            Completes::NotYet => false,
        };
        let is_last = completes && self.session.role != Role::Part;
        let kept = match self.appending.end(is_last).await.map_err(superseded)? {
            End::Kept(kept) => kept,
            End::WrongChecksum(offset) => return Err(Error::WrongChecksum(offset)),
        };
        let expires_at = self.service.prolong(&self.session).await?;
        if let (Completes::Now, false, Some(known)) = (self.completes, completes, extent.length) {
            let given = extent.offset;
            return Err(UploadError::Length { known, given }.into());
        }
        if !completes {
            let offset = extent.offset;
            self.service
                .keep_room(&self.session, self.aside.is_some(), offset)
                .await?;
            return Ok(Outcome::Open { offset, expires_at });
        }
        if self.session.role == Role::Part {
            return self
                .service
                .end_part(&self.session, *kept, expires_at)
                .await;
        }
        let stored = self.service.finish(self.session, *kept, self.turn).await?;
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
        if let Err(wrong) = expected(session).verify(&kept.content()) {
            // Its bytes can be removed once nobody holds them.
            drop(kept);
            self.fail(session).await?;
            return Err(wrong);
        }
        kept.sync().await?;
        let offset = kept.offset();
        Ok(Outcome::Open { offset, expires_at })
    }
}
