//! Older unfinished uploads of the same content, whose place a new one takes.
//!
//! A client that was interrupted, and does not remember its upload, begins another one. The older one
//! would keep its reservation in the owner's quota until it expires.

use std::time::Duration;

use domain::{MediaType, Owner, Protocol, Quota, RandomId, Role, Session, Usage};
use tokio::time::Instant;

use super::begin::NewUpload;
use crate::{Error, Expected, FileService, Result, takeover::UploadLock};

/// Number of older uploads that a new one replaces at most.
const MAX_PREDECESSORS: u64 = 32;

/// Time in which the server notices that the client of an older request has gone.
const GONE_TIMEOUT: Duration = Duration::from_millis(500);

/// An older upload that no request appends to.
struct Predecessor {
    session: Session,
    _lock: UploadLock,
}

impl FileService {
    /// Inserts an upload in the place of older unfinished ones of the same content.
    ///
    /// Those of the same name are removed. Those of another name are removed only if the quota has no
    /// room for both. An upload that a request appends to stays.
    pub(super) async fn insert_in_place(&self, session: &Session) -> Result<()> {
        let admitted = match self.insert_session(session).await {
            Err(Error::QuotaFull(full)) => {
                if !self.make_room(session).await? {
                    return Err(full.into());
                }
                self.insert_session(session).await
            }
            admitted => admitted,
        };
        admitted?;
        let older = self.find_predecessors(session).await?;
        let same_name = older.into_iter().filter(|older| older.has_name_of(session));
        let idle = self.lock_idle(same_name.collect()).await?;
        self.remove_predecessors(idle).await
    }

    /// Removes older unfinished uploads of the content of `upload`, if the owner's quota has room for
    /// it without them; returns whether it did.
    async fn make_room(&self, upload: &Session) -> Result<bool> {
        let older = self.find_predecessors(upload).await?;
        if older.is_empty() {
            return Ok(false);
        }
        let idle = self.lock_idle(older).await?;
        if idle.is_empty() || !self.has_room(upload, &idle).await? {
            return Ok(false);
        }
        self.remove_predecessors(idle).await?;
        Ok(true)
    }

    /// As [`make_room`](Self::make_room), for a content of `bytes` bytes, if known, that comes
    /// another way.
    pub(crate) async fn make_room_for(
        &self,
        owner: &Owner,
        expected: &Expected,
        bytes: Option<u64>,
    ) -> Result<bool> {
        let new = NewUpload {
            protocol: Protocol::Http,
            is_part: false,
            length: bytes,
            file_name: None,
            content_type: MediaType::default(),
            expected: *expected,
            metadata: None,
            concat: None,
        };
        self.make_room(&self.new_session(owner, new, Role::Whole)?)
            .await
    }

    async fn find_predecessors(&self, upload: &Session) -> Result<Vec<Session>> {
        let (sha1, sha256) = (&upload.expected_sha1, &upload.expected_sha256);
        if upload.role != Role::Whole || sha1.is_none() && sha256.is_none() {
            return Ok(Vec::new());
        }
        let sessions = self.0.database.sessions();
        let mut found = sessions
            .list_of_content(
                &upload.owner,
                sha1.as_ref(),
                sha256.as_ref(),
                MAX_PREDECESSORS,
            )
            .await?;
        found.retain(|older| older.id != upload.id && older.has_content_of(upload));
        Ok(found)
    }

    /// Locks the uploads that no request appends to.
    async fn lock_idle(&self, uploads: Vec<Session>) -> Result<Vec<Predecessor>> {
        let until = Instant::now() + GONE_TIMEOUT;
        let mut idle = Vec::new();
        for session in uploads {
            let id = session.id;
            let Some(lock) = self.0.upload_locks.lock_idle(id, until).await else {
                continue;
            };
            if !self.is_appended_elsewhere(id).await? {
                idle.push(Predecessor {
                    session,
                    _lock: lock,
                });
            }
        }
        Ok(idle)
    }

    /// Returns whether the quota admits an upload once others are removed.
    async fn has_room(&self, upload: &Session, removed: &[Predecessor]) -> Result<bool> {
        let Some((quota, mut usage)) = self.find_reserved(&upload.owner).await? else {
            return Ok(true);
        };
        for Predecessor { session, .. } in removed {
            let bytes = session.length.or(session.reserved_bytes);
            usage.uploads = usage.uploads.saturating_sub(1);
            usage.reserved_files = usage.reserved_files.saturating_sub(1);
            usage.reserved_bytes = usage
                .reserved_bytes
                .saturating_sub(bytes.unwrap_or_default());
        }
        Ok(admits(&quota, &usage, upload.length.unwrap_or_default()))
    }

    async fn remove_predecessors(&self, idle: Vec<Predecessor>) -> Result<()> {
        if idle.is_empty() {
            return Ok(());
        }
        let ids: Vec<RandomId> = idle.iter().map(|older| older.session.id).collect();
        self.0.database.sessions().remove(&ids).await?;
        for Predecessor { session, .. } in &idle {
            tracing::info!(upload = %session.id, "a newer upload of the same content replaced the upload");
            self.drop_bytes(session).await;
        }
        Ok(())
    }
}

fn admits(quota: &Quota, usage: &Usage, bytes: u64) -> bool {
    quota.admit_upload(usage).is_ok() && quota.admit_file(usage, bytes).is_ok()
}
