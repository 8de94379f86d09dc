//! Removing uploads that are over, and completing those that a crash left behind.

use std::{collections::HashSet, time::Duration};

use domain::RandomId;
use persistence::{Protocol, Role, Session, SessionState};

use crate::{FileService, Result};

/// How many rows are looked at together.
const BATCH: u64 = 500;

/// How long before its end an upload is kept on that somebody is working at.
const EXPIRY_MARGIN: Duration = Duration::from_mins(2);

impl FileService {
    /// Removes the uploads and the claims that are over.
    ///
    /// # Errors
    ///
    /// When the store or the database fails; what is left goes with a later sweep.
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

    /// Removes an upload if it is over, and nobody is working at it; gives whether it was.
    async fn sweep_session(&self, session: &Session) -> Result<bool> {
        let now = self.0.clock.now();
        let sessions = self.0.database.sessions();
        let Some(_lock) = self.0.upload_locks.try_lock(session.id) else {
            let expires_at = now.after(self.0.limits.upload_age);
            sessions.keep_until(session.id, expires_at).await?;
            return Ok(false);
        };
        // It may have been kept on since it was listed.
        if !sessions.remove_expired(session.id, now).await? {
            return Ok(false);
        }
        tracing::debug!(upload = %session.id, "an upload expired");
        self.drop_bytes(session).await;
        Ok(true)
    }

    /// Completion the uploads that only had to be completed when their process ended, and removes
    /// bytes of which there is no upload.
    ///
    /// # Errors
    ///
    /// When the store or the database fails.
    pub async fn recover_sessions(&self) -> Result<()> {
        // In this order: a row is there before its bytes.
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
        for id in orphans {
            tracing::info!(upload = %id, "removing bytes that no upload needs");
            self.remove_staged(id).await?;
        }
        Ok(())
    }

    /// Completion an upload if that is all that is left to do; whoever comes next tries again.
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
            tracing::warn!(upload = %id, %error, "an upload could not be completed");
        }
    }
}
