//! Begin.

use domain::{FileName, FileStatus, MediaType, Owner};
use persistence::{Entry, Protocol, Role, Session, SessionState};

use super::status::UploadStatus;
use crate::{Error, Expected, FileService, Result, random::random_id};

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

impl FileService {
    /// Finds the owner's file of which an upload would bring nothing new.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn find_existing(
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
    ) -> Result<UploadStatus> {
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
        Ok(UploadStatus {
            session,
            offset: Some(offset),
        })
    }

    /// Adds an upload, if its owner has room for it.
    pub(super) async fn insert_session(&self, session: &Session) -> Result<()> {
        let held = self.0.reservations.reserved(&session.owner);
        let sessions = self.0.database.sessions();
        Ok(sessions
            .insert(session, &self.0.limits.quota, &held)
            .await?)
    }

    pub(super) fn new_session(&self, owner: &Owner, new: NewUpload, role: Role) -> Result<Session> {
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
