//! Concatenates partial uploads.

use std::{collections::HashMap, pin::Pin};

use domain::{ByteRange, Owner, RandomId, Role, Session, SessionState, tus::Concatenation};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use storage::{AppendOutcome, AppendedBytes, Object};
use tracing::Instrument as _;

use super::{begin::NewUpload, status::UploadStatus};
use crate::{Error, Expected, FileService, Result, boxed, takeover::UploadLock};

/// Partial uploads that are looked up, opened or removed at a time: in a bucket, each takes several
/// requests.
const CONCURRENCY: usize = 8;

/// A partial upload, its expected digests, and its byte range in the final upload.
struct Part {
    id: RandomId,
    expected: Expected,
    range: ByteRange,
}

impl FileService {
    /// Creates the final upload from finished partial uploads, in their order, and makes a file of
    /// it.
    ///
    /// The partial uploads are removed when the file exists. A repeated request, sent because the
    /// response was lost, gets the same upload.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidParts`] when an upload cannot be a part; [`Error::TooLarge`]; any error of
    /// completing an upload.
    #[boxed]
    pub async fn concatenate(
        &self,
        owner: &Owner,
        new: NewUpload,
        parts: &[RandomId],
    ) -> Result<UploadStatus> {
        let concat = new.concat.clone().unwrap_or_default();
        let length = match self.find_final(owner, &concat).await? {
            Some(session) => session.length.unwrap_or_default(),
            // Do not wait for unfinished partial uploads.
            None => length_of(&self.find_parts(owner, parts).await?),
        };
        let part_locks = self.take_over_all(parts).await?;
        let session = match self.find_final(owner, &concat).await? {
            Some(session) => session,
            None => self.begin_final(owner, new, length).await?,
        };
        let service = self.clone();
        let (protocol, id) = (session.protocol, session.id);
        let work = async move { service.assemble(session, part_locks).await };
        let work = tokio::spawn(work.in_current_span());
        work.await.unwrap_or(Err(Error::Interrupted))?;
        self.read_status(owner, protocol, id).await
    }

    async fn begin_final(&self, owner: &Owner, new: NewUpload, length: u64) -> Result<Session> {
        let limit = self.0.limits.max_upload_size;
        if let Some(limit) = limit.filter(|limit| length > *limit) {
            return Err(Error::TooLarge(limit));
        }
        let mut session = self.new_session(owner, new, Role::Final)?;
        session.length = Some(length);
        self.insert_session(&session).await?;
        Ok(session)
    }

    /// Finds an earlier final upload of the same parts.
    async fn find_final(&self, owner: &Owner, concat: &str) -> Result<Option<Session>> {
        let now = self.0.clock.now();
        let sessions = self.0.database.sessions();
        Ok(sessions.find_final(owner, concat, now).await?)
    }

    /// Continues to assemble an upload in the background, unless another request does.
    pub(super) fn assemble_later(&self, session: Session) {
        let service = self.clone();
        tokio::spawn(async move {
            let id = session.id;
            if let Err(error) = service.reassemble(session).await {
                tracing::warn!(upload = %id, %error, "could not assemble the upload");
            }
        });
    }

    /// Continues to assemble an upload after its process died, unless another request does.
    pub(super) async fn reassemble(&self, session: Session) -> Result<()> {
        let concat = session.concat.as_deref().unwrap_or_default();
        let Ok(Concatenation::Final(ids)) = Concatenation::parse(concat) else {
            return self.fail(&session).await;
        };
        let free = ids.iter().map(|id| self.0.upload_locks.try_lock(*id));
        match free.collect::<Option<Vec<UploadLock>>>() {
            Some(part_locks) => self.assemble(session, part_locks).await,
            None => Ok(()),
        }
    }

    /// Appends the missing bytes from the partial uploads, and makes a file of the upload.
    ///
    /// While the locks on the partial uploads are held, no request removes one, and none of them
    /// expires.
    async fn assemble(&self, session: Session, part_locks: Vec<UploadLock>) -> Result<()> {
        let lock = self.0.upload_locks.take_over(session.id).await?;
        let found = self.find_session(&session.owner, session.protocol, session.id);
        let session = found.await?;
        let concat = session.concat.as_deref().unwrap_or_default();
        let (SessionState::Open, Ok(Concatenation::Final(ids))) =
            (session.state, Concatenation::parse(concat))
        else {
            return Ok(());
        };
        let kept = match self.append_parts(&session, &ids).await {
            Err(refusal) if refusal.is_final() || matches!(refusal, Error::InvalidParts(_)) => {
                self.fail(&session).await?;
                return Err(refusal);
            }
            kept => kept?,
        };
        self.finish(session, kept, lock).await?;
        self.remove_parts(ids, part_locks).await;
        Ok(())
    }

    /// Removes partial uploads that are no longer needed, their bytes in the background; those that
    /// cannot be removed now expire.
    async fn remove_parts(&self, ids: Vec<RandomId>, part_locks: Vec<UploadLock>) {
        if let Err(error) = self.0.database.sessions().remove(&ids).await {
            tracing::warn!(%error, "could not remove the partial uploads, retrying later");
            return;
        }
        let service = self.clone();
        tokio::spawn(async move {
            let removals = stream::iter(ids).map(async |id| (id, service.remove_staged(id).await));
            let mut removals = std::pin::pin!(removals.buffer_unordered(CONCURRENCY));
            while let Some((id, removed)) = removals.next().await {
                if let Err(error) = removed {
                    tracing::warn!(upload = %id, %error, "could not remove the staged bytes, retrying later");
                }
            }
            drop(part_locks);
        });
    }

    /// Locks several uploads, always in the same order to avoid deadlocks.
    async fn take_over_all(&self, ids: &[RandomId]) -> Result<Vec<UploadLock>> {
        let mut sorted = ids.to_vec();
        sorted.sort_unstable();
        let mut upload_locks = Vec::with_capacity(sorted.len());
        for id in sorted {
            upload_locks.push(self.0.upload_locks.take_over(id).await?);
        }
        Ok(upload_locks)
    }

    /// Appends the missing bytes from the partial uploads.
    async fn append_parts(&self, session: &Session, ids: &[RandomId]) -> Result<AppendedBytes> {
        let owner = &session.owner;
        let parts = self.find_parts(owner, ids).await?;
        let mut appending = self.append_to(owner, session.id, Vec::new()).await?;
        let begin = appending.offset();
        let missing = parts.into_iter().filter(move |part| part.range.end > begin);
        let opened = stream::iter(missing).map(|part| {
            let service = self.clone();
            let start = begin.saturating_sub(part.range.start);
            let end = part.range.length();
            async move {
                let object = service.open_part(owner, &part, start).await?;
                let mut pieces = object.stream(ByteRange { start, end }).peekable();
                // The first piece is often all of it.
                Pin::new(&mut pieces).peek().await;
                Ok::<_, Error>(pieces)
            }
        });
        let mut opened = std::pin::pin!(opened.buffered(CONCURRENCY));
        while let Some(mut pieces) = opened.try_next().await? {
            while let Some(piece) = pieces.try_next().await? {
                appending.write(&piece).await?;
            }
        }
        match appending.end(true).await? {
            AppendOutcome::Appended(kept) => Ok(*kept),
            AppendOutcome::ChecksumMismatch(_) => Err(Error::Contended),
        }
    }

    /// Verifies a partial upload, and opens its bytes for reading from `start` on.
    async fn open_part(&self, owner: &Owner, part: &Part, start: u64) -> Result<Object> {
        self.verify_part(owner, part).await?;
        let opened = self.open_staged(part.id, part.range.length(), start).await;
        opened.map_err(|error| match error {
            Error::Store(storage::Error::Missing(_) | storage::Error::WrongSize { .. }) => {
                Error::InvalidParts(format!("the upload {} has been removed", part.id))
            }
            error => error,
        })
    }

    /// Finds the partial uploads in request order. Each must be complete and belong to the owner.
    async fn find_parts(&self, owner: &Owner, ids: &[RandomId]) -> Result<Vec<Part>> {
        let found = self.0.database.sessions().find_many(owner, ids).await?;
        let found: HashMap<RandomId, Session> = found
            .into_iter()
            .map(|session| (session.id, session))
            .collect();
        let now = self.0.clock.now();
        let mut parts = Vec::with_capacity(ids.len());
        let mut start = 0;
        let staged = stream::iter(ids.to_vec()).map(|id| {
            let service = self.clone();
            async move { service.staged_bytes(id).await }
        });
        let staged: Vec<u64> = staged.buffered(CONCURRENCY).try_collect().await?;
        for (id, staged) in ids.iter().zip(staged) {
            let part = found.get(id).filter(|session| session.expires_at > now);
            // The error does not reveal whether another owner has this upload.
            let part =
                part.ok_or_else(|| Error::InvalidParts(format!("the upload {id} does not exist")))?;
            if part.role != Role::Part || part.state != SessionState::Open {
                return Err(Error::InvalidParts(format!(
                    "the upload {id} is not a partial upload"
                )));
            }
            if part.length != Some(staged) {
                return Err(Error::InvalidParts(format!(
                    "the upload {id} is not finished"
                )));
            }
            let end = start + staged;
            parts.push(Part {
                id: *id,
                expected: Expected::of_session(part),
                range: ByteRange { start, end },
            });
            start = end;
        }
        Ok(parts)
    }

    /// Verifies the digests of a partial upload.
    ///
    /// The request that sent its last byte may not have ended.
    async fn verify_part(&self, owner: &Owner, part: &Part) -> Result<()> {
        if part.expected == Expected::default() {
            return Ok(());
        }
        let opened = self.append_to(owner, part.id, Vec::new()).await?;
        match opened.end(false).await? {
            AppendOutcome::Appended(kept) => part.expected.verify(&kept.content()),
            AppendOutcome::ChecksumMismatch(_) => Err(Error::Contended),
        }
    }
}

/// Total length of the parts in bytes.
fn length_of(parts: &[Part]) -> u64 {
    parts.last().map_or(0, |part| part.range.end)
}
