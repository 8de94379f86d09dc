//! Making an upload of others that are its parts.

use std::collections::HashMap;

use domain::{ByteRange, Owner, RandomId, tus::Concatenation};
use futures_util::StreamExt as _;
use persistence::{Role, Session, SessionState};
use storage::End;
use tracing::Instrument as _;

use super::{NewUpload, Standing};
use crate::{Catalog, Error, Result};

/// A part, and where its bytes go.
#[derive(Clone, Copy)]
struct Part {
    id: RandomId,
    place: ByteRange,
}

impl Catalog {
    /// Makes an upload of finished partial uploads, in their order, and a file of it.
    ///
    /// The parts go when the file is there.
    ///
    /// # Errors
    ///
    /// [`Error::Parts`] when one of them cannot be a part; [`Error::TooLarge`]; or what finishing
    /// an upload may say.
    pub async fn concatenate(
        &self,
        owner: &Owner,
        new: NewUpload,
        parts: &[RandomId],
    ) -> Result<Standing> {
        let parts = self.find_parts(owner, parts).await?;
        let length = parts.last().map_or(0, |part| part.place.end);
        let limit = self.0.limits.max_upload_size;
        if let Some(limit) = limit.filter(|limit| length > *limit) {
            return Err(Error::TooLarge(limit));
        }
        let mut session = self.new_session(owner, new, Role::Final)?;
        session.length = Some(length);
        self.0.database.sessions().insert(&session).await?;
        let catalog = self.clone();
        let (protocol, id) = (session.protocol, session.id);
        let work = async move { catalog.assemble(session).await };
        let work = tokio::spawn(work.in_current_span());
        work.await.unwrap_or(Err(Error::Interrupted))?;
        self.look(owner, protocol, id).await
    }

    /// Goes on with putting an upload together, unless somebody is at it.
    pub(super) fn assemble_later(&self, session: Session) {
        let catalog = self.clone();
        tokio::spawn(async move {
            let id = session.id;
            if let Err(error) = catalog.assemble(session).await {
                tracing::warn!(upload = %id, %error, "an upload could not be put together");
            }
        });
    }

    /// Appends what is missing of an upload from its parts, and makes a file of it.
    pub(super) async fn assemble(&self, session: Session) -> Result<()> {
        let Some(turn) = self.0.turns.take_if_free(session.id) else {
            return Ok(());
        };
        let found = self.find_session(&session.owner, session.protocol, session.id);
        let session = found.await?;
        let concat = session.concat.as_deref().unwrap_or_default();
        let (SessionState::Open, Ok(Concatenation::Final(ids))) =
            (session.state, Concatenation::parse(concat))
        else {
            return Ok(());
        };
        let parts = match self.find_parts(&session.owner, &ids).await {
            Err(gone @ Error::Parts(_)) => {
                self.fail(&session).await?;
                return Err(gone);
            }
            parts => parts?,
        };
        let mut appending = self.0.store.append(session.id, Vec::new()).await?;
        for part in &parts {
            let missing = ByteRange {
                start: part.place.start.max(appending.offset()),
                end: part.place.end,
            };
            if missing.start >= missing.end {
                continue;
            }
            let (size, skip) = (part.place.length(), missing.start - part.place.start);
            let opened = self.0.store.open_staged(part.id, size, skip);
            let rest = ByteRange {
                start: skip,
                end: size,
            };
            let mut pieces = std::pin::pin!(opened.await?.stream(rest));
            while let Some(piece) = pieces.next().await {
                appending.write(&piece?).await?;
            }
        }
        let End::Kept(kept) = appending.end().await? else {
            return Err(Error::Contended);
        };
        self.finish(session, kept, turn).await?;
        self.0.database.sessions().remove(&ids).await?;
        for id in ids {
            if let Err(error) = self.0.store.remove_staged(id).await {
                tracing::warn!(upload = %id, %error, "staged bytes stay until later");
            }
        }
        Ok(())
    }

    /// The parts as they are named, each of which has to be whole and its owner's.
    async fn find_parts(&self, owner: &Owner, ids: &[RandomId]) -> Result<Vec<Part>> {
        let found = self.0.database.sessions().find_many(owner, ids).await?;
        let found: HashMap<RandomId, Session> = found
            .into_iter()
            .map(|session| (session.id, session))
            .collect();
        let now = self.0.clock.now();
        let mut parts = Vec::with_capacity(ids.len());
        let mut start = 0;
        for id in ids {
            let part = found.get(id).filter(|session| session.expires_at > now);
            // Of what is another's it cannot be told that it is there.
            let part = part.ok_or_else(|| Error::Parts(format!("there is no upload {id}")))?;
            if part.role != Role::Part || part.state != SessionState::Open {
                return Err(Error::Parts(format!(
                    "the upload {id} is not a partial one"
                )));
            }
            let staged = self.0.store.staged(*id).await?;
            if part.length != Some(staged) {
                return Err(Error::Parts(format!("the upload {id} is not finished")));
            }
            let end = start + staged;
            let place = ByteRange { start, end };
            parts.push(Part { id: *id, place });
            start = end;
        }
        Ok(parts)
    }
}
