//! Making the copy that a job asks for.
//!
//! In this order: the job is held, so that one worker is at it; the bytes are read, and written under
//! a key that was never used; they are read back from there and hashed, which tells of whatever
//! happened to them in between, or before; then one transaction makes the content's row point at the
//! copy, if the row still says what it said, ends the job, and notes when the old copy goes. Each
//! step can be taken again, and whatever a crash leaves behind is found: an object that no row points
//! at has been noted before it was there.

use std::time::{Duration, Instant};

use domain::{Address, Backoff, ByteRange};
use futures_util::StreamExt as _;
use persistence::{Job, JobId, StoredContent, Switch, TransferState};
use storage::{Object, Received, Store};

use crate::{Error, FileService, Result, check::digest};

/// How long a worker has a job before others take it for dead; a worker at work prolongs it.
const HELD_FOR: Duration = Duration::from_mins(1);

/// What came of a job.
#[derive(Debug)]
pub enum Performed {
    /// The copy is made: so many bytes.
    Copied(u64),
    /// There is nothing to copy, or no need to.
    Needless,
    /// Another worker is at it, or it is done.
    Taken,
    /// It failed, and will be tried again.
    Failed(Error),
    /// It failed too often, and waits for somebody to look at it.
    Buried(Error),
}

impl Performed {
    /// What metrics call it.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Copied(_) => "copied",
            Self::Needless => "needless",
            Self::Taken => "taken",
            Self::Failed(_) => "failed",
            Self::Buried(_) => "buried",
        }
    }
}

/// What came of a copy.
enum Outcome {
    Copied,
    Needless,
    /// The content or the job changed meanwhile.
    Changed,
}

impl FileService {
    /// Finds a job that was announced.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn find_job(&self, id: JobId) -> Result<Option<Job>> {
        Ok(self.0.database.jobs().find(id).await?)
    }

    /// Makes the copy that a job asks for, in the name of a worker; gives the job as well, if it
    /// was to be had.
    ///
    /// # Errors
    ///
    /// When the database fails, so that nothing is known of the job. What goes wrong with the copy
    /// is told by what it gives.
    pub async fn perform(
        &self,
        id: JobId,
        worker: &str,
        patience: &Backoff,
    ) -> Result<(Performed, Option<Job>)> {
        let now = self.0.clock.now();
        let jobs = self.0.database.jobs();
        let Some(job) = jobs.hold(id, worker, now, now.after(HELD_FOR)).await? else {
            return Ok((Performed::Taken, None));
        };
        let outcome = tokio::select! {
            outcome = self.make_copy(&job, worker) => outcome,
            // Another worker has it by now.
            () = self.keep_holding(id, worker) => return Ok((Performed::Taken, Some(job))),
        };
        let performed = match outcome {
            Ok(Outcome::Copied) => Performed::Copied(job.size),
            Ok(Outcome::Needless) => {
                jobs.finish(id, worker).await?;
                Performed::Needless
            }
            Ok(Outcome::Changed) => {
                let due = self.0.clock.now();
                jobs.retry(id, worker, due, job.attempts, "the file changed meanwhile")
                    .await?;
                Performed::Needless
            }
            Err(error) => self.fail_job(&job, worker, patience, error).await?,
        };
        Ok((performed, Some(job)))
    }

    /// Keeps a job held, and ends when it is not any more.
    async fn keep_holding(&self, id: JobId, worker: &str) {
        loop {
            tokio::time::sleep(HELD_FOR / 3).await;
            let until = self.0.clock.now().after(HELD_FOR);
            let jobs = self.0.database.jobs();
            match jobs.keep_holding(id, worker, until).await {
                Ok(true) => {}
                Ok(false) => return,
                // The switch is guarded, whatever becomes of this.
                Err(error) => tracing::warn!(job = id, %error, "a job may be taken for dead"),
            }
        }
    }

    async fn fail_job(
        &self,
        job: &Job,
        worker: &str,
        patience: &Backoff,
        error: Error,
    ) -> Result<Performed> {
        let jobs = self.0.database.jobs();
        let (attempts, told) = (job.attempts + 1, told(&error));
        let chance = getrandom::u32().unwrap_or(u32::MAX);
        let Some(wait) = patience.wait(attempts, chance) else {
            jobs.bury(job.id, worker, &told).await?;
            tracing::error!(job = job.id, content = %job.sha1, to = job.to, error = told, "a copy was given up");
            return Ok(Performed::Buried(error));
        };
        let due = self.0.clock.now().after(wait);
        jobs.retry(job.id, worker, due, attempts, &told).await?;
        tracing::warn!(job = job.id, content = %job.sha1, to = job.to, attempts, error = told, "a copy failed");
        Ok(Performed::Failed(error))
    }

    async fn make_copy(&self, job: &Job, worker: &str) -> Result<Outcome> {
        let found = self.0.database.contents().find(&job.sha1).await?;
        let Some(row) = found.filter(|row| is_needed(job, row)) else {
            return Ok(Outcome::Needless);
        };
        let source = self.0.stores.of(&row.address)?;
        let target = self.0.stores.named(&job.to)?;
        let Some(rate) = self.rate_of(job).await? else {
            return Ok(Outcome::Needless);
        };
        let received = carry(source, &row, target, rate).await?;
        let (address, _) = received.address();
        self.expect(&job.sha1, &address).await?;
        let placed = received.place().await?;
        let back = match digest(target, &address.key, row.content.size).await {
            Ok(content) if content == row.content => Ok(()),
            Ok(_) => Err(blame(source, &row, &address).await),
            Err(error) => Err(error.into()),
        };
        if let Err(error) = back {
            self.discard(placed, &job.sha1, true).await;
            return Err(error);
        }
        let now = self.0.clock.now();
        let switch = Switch {
            content: &row,
            to: &address,
            keeps_source: job.keeps_source,
            job: Some((job.id, worker)),
            transfer: job.transfer,
            leftover_due: now.after(self.0.limits.copy_grace),
            now,
        };
        match self.0.database.switch(&switch).await {
            Ok(true) => {
                placed.keep().await;
                self.0.addresses.forget(&job.sha1);
                Ok(Outcome::Copied)
            }
            Ok(false) => {
                self.discard(placed, &job.sha1, true).await;
                if self.is_current(&row).await? {
                    // It took so long that it was taken for left behind, or for dead.
                    return Err(Error::Contended);
                }
                Ok(Outcome::Changed)
            }
            Err(error @ persistence::Error::CommitUnknown(_)) => {
                self.settle_later(placed, job.sha1);
                Err(error.into())
            }
            Err(error) => {
                self.discard(placed, &job.sha1, true).await;
                Err(error.into())
            }
        }
    }

    /// How many bytes a second a job's transfer may take, if there is a limit; `None` if the transfer
    /// was cancelled.
    async fn rate_of(&self, job: &Job) -> Result<Option<Option<u64>>> {
        let Some(id) = job.transfer else {
            return Ok(Some(None));
        };
        let transfer = self.0.database.transfers().find(id).await?;
        Ok(match transfer {
            Some(transfer) if transfer.state == TransferState::Cancelled => None,
            transfer => Some(transfer.and_then(|transfer| transfer.rate)),
        })
    }
}

/// Whether the content is where the job found it, and not yet where it is to be.
fn is_needed(job: &Job, row: &StoredContent) -> bool {
    let is_there = row.copies().any(|copy| copy.store == job.to);
    row.address.store == job.from && !(is_there && job.keeps_source)
}

/// Reads a content in one store, and sends it to another.
async fn carry(
    source: &Store,
    row: &StoredContent,
    target: &Store,
    rate: Option<u64>,
) -> Result<Received> {
    let whole = ByteRange::whole(row.content.size);
    let opened = source.open_object(&row.address.key, row.content.size, whole);
    let object: Object = opened.await?;
    let mut incoming = target.receive_known(row.content);
    let mut pieces = object.stream(whole);
    let (began, mut carried) = (Instant::now(), 0);
    while let Some(piece) = pieces.next().await {
        let piece = piece?;
        incoming.write(&piece).await?;
        carried += piece.len() as u64;
        if let Some(rate) = rate {
            let takes = time_for(carried, rate);
            tokio::time::sleep(takes.saturating_sub(began.elapsed())).await;
        }
    }
    Ok(incoming.finish().await?)
}

/// Who is to blame for a copy that is not what it should be: it, or what it was made of.
async fn blame(source: &Store, row: &StoredContent, copy: &Address) -> Error {
    match digest(source, &row.address.key, row.content.size).await {
        Ok(content) if content == row.content => Error::CopyDamaged(copy.clone()),
        Ok(_) => Error::SourceDamaged(row.address.clone()),
        Err(error) => error.into(),
    }
}

/// How long so many bytes take at a rate.
pub(crate) fn time_for(bytes: u64, rate: u64) -> Duration {
    let nanoseconds = u128::from(bytes) * 1_000_000_000 / u128::from(rate.max(1));
    Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX))
}

/// What went wrong, down to what was at the bottom of it.
fn told(error: &Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(deeper) = source {
        let more = deeper.to_string();
        if !text.ends_with(&more) {
            text = format!("{text}: {more}");
        }
        source = deeper.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_take_their_time() {
        assert_eq!(time_for(100, 50), Duration::from_secs(2));
        assert_eq!(time_for(0, 50), Duration::ZERO);
        assert_eq!(time_for(u64::MAX, 1), Duration::from_nanos(u64::MAX));
    }
}
