//! Uploads that can be resumed, whichever protocol they are made by.
//!
//! What is promised: an upload's offset is the number of its bytes that are staged, and all of
//! them are kept until it is finished, removed, or expires. One request at a time appends, the
//! newest one. Finishing is done once, however often it is asked for, and by whoever comes next
//! if the process that began it has died.

mod append;
mod concatenate;
mod finish;
mod staging;
mod sweep;
mod turns;

use std::time::Duration;

use domain::{FileName, FileStatus, MediaType, Owner, RandomId, Timestamp};
use persistence::{Entry, Protocol, Role, Session, SessionState};

use crate::{Error, Expected, FileService, Result};

pub use append::{Append, AppendRequest, Completes, Outcome};
pub(crate) use turns::Turns;

/// An upload that is to begin.
#[derive(Debug, Clone)]
pub struct NewUpload {
    /// The protocol that it is made by.
    pub protocol: Protocol,
    /// Whether it is to be a part of another.
    pub is_part: bool,
    /// How many bytes it will have, if that is known.
    pub length: Option<u64>,
    /// The name that the file gets; its upload's id if there is none.
    pub file_name: Option<FileName>,
    /// The media type that is declared.
    pub content_type: MediaType,
    /// What the content is said to be.
    pub expected: Expected,
    /// What else the client says of it.
    pub metadata: Option<String>,
    /// What the client says it has to do with others.
    pub concat: Option<String>,
}

/// An upload, and how far it has come.
#[derive(Debug, Clone)]
pub struct Standing {
    /// The upload.
    pub session: Session,
    /// How many bytes are there; unknown of one that is being put together from others.
    pub offset: Option<u64>,
}

impl FileService {
    /// Finds the owner's file of which an upload would bring nothing new.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn find_known(
        &self,
        owner: &Owner,
        expected: &Expected,
        length: Option<u64>,
    ) -> Result<Option<Entry>> {
        let Some(sha1) = expected.sha1 else {
            return Ok(None);
        };
        let entry = self.0.database.entries().find(owner, &sha1).await?;
        Ok(entry.filter(|entry| {
            entry.meta.status == FileStatus::Available
                && length.is_none_or(|length| length == entry.meta.file_size)
                && expected
                    .sha256
                    .is_none_or(|sha256| sha256 == entry.meta.file_sha256)
        }))
    }

    /// Begins an upload, which is done at once if its owner is known to have the file.
    ///
    /// # Errors
    ///
    /// [`Error::TooLarge`], [`Error::QuotaFull`], or when the database fails.
    pub async fn begin_upload(
        &self,
        owner: &Owner,
        new: NewUpload,
        known: Option<&Entry>,
    ) -> Result<Standing> {
        let limit = self.0.limits.max_upload_size;
        if let Some(limit) = limit.filter(|limit| new.length.is_some_and(|length| length > *limit))
        {
            return Err(Error::TooLarge(limit));
        }
        let role = if new.is_part { Role::Part } else { Role::Whole };
        let mut session = self.new_session(owner, new, role)?;
        if let Some(entry) = known {
            session.state = SessionState::Done(entry.meta.file_sha1);
            session.length = Some(entry.meta.file_size);
        }
        self.insert_session(&session).await?;
        let offset = known.map_or(0, |entry| entry.meta.file_size);
        Ok(Standing {
            session,
            offset: Some(offset),
        })
    }

    /// Tells how far an upload has come, and completes it if only that was left to do.
    ///
    /// It waits for nobody who is sending bytes.
    ///
    /// # Errors
    ///
    /// [`Error::UploadNotFound`] or [`Error::UploadGone`]; whatever completing it may say.
    pub async fn standing(
        &self,
        owner: &Owner,
        protocol: Protocol,
        id: RandomId,
    ) -> Result<Standing> {
        let standing = self.look(owner, protocol, id).await?;
        let session = &standing.session;
        match session.role {
            _ if session.state != SessionState::Open || session.protocol != Protocol::Tus => {}
            Role::Final => {
                self.assemble_later(session.clone());
                return Ok(Standing {
                    offset: None,
                    ..standing
                });
            }
            Role::Whole if session.length == standing.offset => {
                self.complete(session).await?;
                return self.look(owner, protocol, id).await;
            }
            Role::Whole | Role::Part => {}
        }
        Ok(standing)
    }

    async fn look(&self, owner: &Owner, protocol: Protocol, id: RandomId) -> Result<Standing> {
        // In this order: the bytes go only after the row says that they are not needed.
        let staged = self.staged(id).await?;
        let session = self.find_session(owner, protocol, id).await?;
        let offset = match session.state {
            SessionState::Done(_) => session.length,
            _ => Some(staged),
        };
        Ok(Standing { session, offset })
    }

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
        let _turn = self.0.turns.take(id).await?;
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
        let _turn = self.0.turns.take(id).await?;
        let session = self.find_session(owner, protocol, id).await?;
        self.fail(&session).await
    }

    /// How long it is until a moment; nothing if it has passed.
    #[must_use]
    pub fn time_until(&self, moment: Timestamp) -> Duration {
        let now = self.0.clock.now().microseconds();
        let left = moment.microseconds().saturating_sub(now);
        Duration::from_micros(left.max(0).unsigned_abs())
    }

    /// Until when an upload is kept.
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

    async fn find_session(
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

    /// Adds an upload, if its owner has room for it.
    async fn insert_session(&self, session: &Session) -> Result<()> {
        let held = self.0.rooms.held(&session.owner);
        let sessions = self.0.database.sessions();
        Ok(sessions
            .insert(session, &self.0.limits.quota, &held)
            .await?)
    }

    fn new_session(&self, owner: &Owner, new: NewUpload, role: Role) -> Result<Session> {
        let id = random_id()?;
        let file_name = match new.file_name {
            Some(name) => name,
            None => id.to_string().try_into().map_err(|_| Error::Interrupted)?,
        };
        let now = self.0.clock.now();
        Ok(Session {
            id,
            owner: owner.clone(),
            protocol: new.protocol,
            role,
            state: SessionState::Open,
            length: new.length,
            held_bytes: None,
            file_name,
            content_type: new.content_type,
            expected_sha1: new.expected.sha1,
            expected_sha256: new.expected.sha256,
            metadata: new.metadata,
            concat: new.concat,
            create_at: now,
            expires_at: now.after(self.0.limits.upload_age),
        })
    }
}

pub(crate) fn random_id() -> Result<RandomId> {
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(|_| Error::Interrupted)?;
    Ok(random.into())
}

fn expected(session: &Session) -> Expected {
    Expected {
        sha1: session.expected_sha1,
        sha256: session.expected_sha256,
        size: None,
    }
}
