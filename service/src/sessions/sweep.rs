//! Removes expired uploads, and completes uploads that a crash interrupted.

use std::{collections::HashSet, time::Duration};

use domain::{Protocol, RandomId, Role, Session, SessionState};

use crate::{FileService, Result, boxed};

/// Number of rows per query.
const BATCH: u64 = 500;

/// Time before its expiry from which an upload in use is extended.
const EXPIRY_MARGIN: Duration = Duration::from_mins(2);

impl FileService {
    /// Removes expired uploads and claims.
    ///
    /// # Errors
    ///
    /// When the store or the database fails; the rest is removed by a later sweep.
    #[boxed]
    pub async fn sweep_sessions(&self) -> Result<()> {
        let now = self.0.clock.now();
        self.0.database.claims().remove_expired(now).await?;
        let age = self.0.limits.upload_age;
        let soon = now.after(EXPIRY_MARGIN.min(age / 4));
        loop {
            let over = self.0.database.sessions().list_expired(soon, BATCH).await?;
            let mut is_any_gone = false;
            for session in &over {
                is_any_gone |= self.sweep_session(session).await?;
            }
            if !is_any_gone || (over.len() as u64) < BATCH {
                return Ok(());
            }
        }
    }

    /// Removes an upload if it has expired and no request uses it; returns whether it was removed.
    async fn sweep_session(&self, session: &Session) -> Result<bool> {
        let now = self.0.clock.now();
        let sessions = self.0.database.sessions();
        let Some(_lock) = self.0.upload_locks.try_lock(session.id) else {
            let expires_at = now.after(self.0.limits.upload_age);
            sessions.set_expiry(session.id, expires_at).await?;
            return Ok(false);
        };
        // The expiry may have been extended since the list was read.
        if !sessions.remove_expired(session.id, now).await? {
            return Ok(false);
        }
        tracing::debug!(upload = %session.id, "removed the expired upload");
        self.drop_bytes(session).await;
        Ok(true)
    }

    /// Completes uploads that had all their bytes when their process ended, and removes bytes that
    /// belong to no upload, once they are old enough for orphans.
    ///
    /// # Errors
    ///
    /// When the store or the database fails.
    #[boxed]
    pub async fn recover_sessions(&self) -> Result<()> {
        // The bytes first: a row is inserted before its bytes.
        let staged = self.list_staged().await?;
        let mut orphans: HashSet<RandomId> = staged.into_iter().collect();
        let mut after = None;
        loop {
            let sessions = self.0.database.sessions().list(after, BATCH).await?;
            let Some(last) = sessions.last() else {
                break;
            };
            after = Some(last.id);
            for session in sessions {
                if session.state == SessionState::Open {
                    orphans.remove(&session.id);
                    self.recover(session).await;
                }
            }
        }
        if !self.trusts_clock().await? {
            return Ok(());
        }
        for id in orphans {
            // A database that is older than the bytes, or not theirs, does not know the upload.
            if self.staged_age(id).await? < self.0.limits.orphan_age {
                continue;
            }
            tracing::info!(upload = %id, "removing orphaned staged bytes");
            self.remove_staged(id).await?;
        }
        Ok(())
    }

    /// Completes an upload if it has all its bytes; after an error, the next request or sweep tries
    /// again.
    async fn recover(&self, session: Session) {
        let id = session.id;
        let recovered = match session.role {
            Role::Final => self.reassemble(session).await,
            Role::Whole if session.protocol == Protocol::Tus && session.length.is_some() => {
                match self.staged_bytes(id).await {
                    Ok(staged) if session.length == Some(staged) => self.complete(&session).await,
                    Ok(_) => Ok(()),
                    Err(error) => Err(error),
                }
            }
            _ => Ok(()),
        };
        if let Err(error) = recovered {
            tracing::warn!(upload = %id, %error, "could not complete the upload");
        }
    }
}
