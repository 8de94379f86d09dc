//! Creates uploads.

use domain::{
    Entry, FileName, FileStatus, MediaType, Owner, Protocol, Role, Session, SessionState,
};

use super::status::UploadStatus;
use crate::{Error, Expected, FileService, Result, boxed, damage::Trusted, random::random_id};

/// Parameters of a new upload.
#[derive(Debug, Clone)]
pub struct NewUpload {
    /// Protocol that created it.
    pub protocol: Protocol,
    /// True for a partial upload, which is concatenated with others later.
    pub is_part: bool,
    /// Total length in bytes, if known.
    pub length: Option<u64>,
    /// Name of the file; the upload's id by default.
    pub file_name: Option<FileName>,
    /// Declared media type.
    pub content_type: MediaType,
    /// Expected digests of the content.
    pub expected: Expected,
    /// Other metadata from the client.
    pub metadata: Option<String>,
    /// The client's `Upload-Concat` value.
    pub concat: Option<String>,
}

impl FileService {
    /// Finds the owner's file that already has the content of an upload, and whose bytes are there.
    ///
    /// # Errors
    ///
    /// When the database or the store fails.
    #[boxed]
    pub async fn find_existing(
        &self,
        owner: &Owner,
        expected: &Expected,
        length: Option<u64>,
    ) -> Result<Option<Entry>> {
        let Some(sha1) = expected.sha1 else {
            return Ok(None);
        };
        let entries = self.0.database.entries();
        let entry = entries.find_for_update(owner, &sha1).await?;
        let entry = entry.filter(|entry| {
            entry.meta.status == FileStatus::Available
                && length.is_none_or(|length| length == entry.meta.file_size)
                && expected
                    .sha256
                    .is_none_or(|sha256| sha256 == entry.meta.file_sha256)
        });
        if entry.is_some() {
            let known = self.0.database.contents().find_for_update(&sha1).await?;
            let is_there = match &known {
                Some(known) => self.has_bytes(known, Trusted::LargeOnes).await?,
                None => false,
            };
            return Ok(entry.filter(|_| is_there));
        }
        Ok(None)
    }

    /// Creates an upload. It is complete at once if `known` is the owner's file with this content.
    ///
    /// It takes the place of older unfinished uploads that announced the same digests and the same
    /// name, unless requests are appending to them.
    ///
    /// # Errors
    ///
    /// [`Error::TooLarge`], [`Error::QuotaFull`], or when the database fails.
    #[boxed]
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
        self.insert_in_place(&session).await?;
        let offset = known.map_or(0, |entry| entry.meta.file_size);
        Ok(UploadStatus {
            session,
            offset: Some(offset),
        })
    }

    /// Inserts an upload if the owner's quota allows it.
    pub(super) async fn insert_session(&self, session: &Session) -> Result<()> {
        let reserved = self.0.reservations.reserved(&session.owner);
        let sessions = self.0.database.sessions();
        Ok(sessions
            .insert(session, &self.0.limits.quota, &reserved)
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
            reserved_bytes: None,
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
