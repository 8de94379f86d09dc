//! Moving everything that a store has to another one, while the service runs.
//!
//! A transfer goes over the rows of the store that is to be emptied, and makes a job of each, some
//! hundred ahead of the workers; where it is, is in its row, so any process can go on with it. It
//! goes over them again until it finds nothing more. At a limited rate, jobs become due as fast as
//! it allows, whoever works at them.

use std::time::Duration;

use domain::{RandomId, Timestamp};
use persistence::{Job, JobId, NewJob, Progress, Shard, Standing, Transfer, TransferState};

use crate::{Error, FileService, Result, copy::time_for, sessions::random_id};

/// How many jobs of a transfer wait at most before it makes no more.
const AHEAD: u64 = 1_000;

/// How many rows are looked at together.
const BATCH: u64 = 250;

/// How long a process plans a transfer before another may go on with it.
///
/// Of workers only the one that keeps house plans; the time is for those that command a transfer.
const PLANNED_FOR: Duration = Duration::from_secs(10);

/// A transfer, and what is left of it to do.
#[derive(Debug, Clone)]
pub struct TransferReport {
    /// The transfer.
    pub transfer: Transfer,
    /// Jobs that wait, or are being worked at.
    pub waiting: u64,
    /// Jobs that failed too often.
    pub failed: u64,
}

/// How far planning came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Planned {
    /// There may be more to do at once.
    More,
    /// There is nothing to do for now.
    Waiting,
    /// The transfer has ended.
    Ended,
}

impl FileService {
    /// Begins to move everything from one store to another, or goes on with that.
    ///
    /// # Errors
    ///
    /// [`Error::NoStore`] when the settings do not have one of the stores, [`Error::SameStore`], or
    /// when the database fails.
    pub async fn start_transfer(
        &self,
        from: &str,
        to: &str,
        rate: Option<u64>,
    ) -> Result<(TransferReport, bool)> {
        for name in [from, to] {
            if self.0.stores.get(name).is_none() {
                return Err(Error::NoStore(name.to_owned()));
            }
        }
        if from == to {
            return Err(Error::SameStore);
        }
        let transfers = self.0.database.transfers();
        if let Some(running) = transfers.find_running(from, to).await? {
            if rate.is_some() && rate != running.rate {
                transfers
                    .set_rate(running.id, rate, self.0.clock.now())
                    .await?;
            }
            return Ok((self.transfer(running.id).await?, false));
        }
        let now = self.0.clock.now();
        // What failed for good in an earlier one is not to be passed over by this.
        self.0.database.jobs().forget_dead(from, to).await?;
        let (total_files, total_bytes) = self.0.database.contents().count_in_store(from).await?;
        let transfer = Transfer {
            id: random_id()?,
            from: from.to_owned(),
            to: to.to_owned(),
            rate,
            state: TransferState::Running,
            pass: 1,
            found: 0,
            shard: 0,
            after_id: 0,
            total_files,
            total_bytes,
            copied_files: 0,
            copied_bytes: 0,
            paced_until: now,
            planner: None,
            planned_until: now,
            create_at: now,
            update_at: now,
            end_at: None,
        };
        transfers.insert(&transfer).await?;
        Ok((self.transfer(transfer.id).await?, true))
    }

    /// A transfer, as it is now.
    ///
    /// # Errors
    ///
    /// [`Error::TransferNotFound`], or when the database fails.
    pub async fn transfer(&self, id: RandomId) -> Result<TransferReport> {
        let found = self.0.database.transfers().find(id).await?;
        self.report(found.ok_or(Error::TransferNotFound)?).await
    }

    /// The newest transfers.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn transfers(&self, limit: u64) -> Result<Vec<TransferReport>> {
        let mut reports = Vec::new();
        for transfer in self.0.database.transfers().list(limit).await? {
            reports.push(self.report(transfer).await?);
        }
        Ok(reports)
    }

    async fn report(&self, transfer: Transfer) -> Result<TransferReport> {
        let jobs = self.0.database.jobs();
        let (waiting, mut failed) = jobs.count_of(transfer.id).await?;
        if transfer.state != TransferState::Cancelled {
            // Others may have ordered the same copies before.
            let (_, of_both) = jobs.count_between(&transfer.from, &transfer.to).await?;
            failed = failed.max(of_both);
        }
        Ok(TransferReport {
            transfer,
            waiting,
            failed,
        })
    }

    /// Ends the transfer that is running between two stores.
    ///
    /// # Errors
    ///
    /// [`Error::TransferNotFound`] when there is none, or when the database fails.
    pub async fn cancel_transfer_between(&self, from: &str, to: &str) -> Result<TransferReport> {
        let running = self.0.database.transfers().find_running(from, to).await?;
        let id = running.ok_or(Error::TransferNotFound)?.id;
        self.cancel_transfer(id).await?;
        self.transfer(id).await
    }

    /// Ends a transfer: what it has not begun to copy stays where it is.
    ///
    /// # Errors
    ///
    /// [`Error::TransferNotFound`], [`Error::TransferOver`], or when the database fails.
    pub async fn cancel_transfer(&self, id: RandomId) -> Result<()> {
        let now = self.0.clock.now();
        let transfers = self.0.database.transfers();
        if transfers.find(id).await?.is_none() {
            return Err(Error::TransferNotFound);
        }
        if !transfers.end(id, TransferState::Cancelled, now).await? {
            return Err(Error::TransferOver);
        }
        self.0.database.jobs().drop_waiting(id, now).await?;
        Ok(())
    }

    /// Goes on with planning the transfers that run, as far as workers can follow; gives whether
    /// there is more to plan at once.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn plan_transfers(&self, planner: &str) -> Result<bool> {
        let mut is_more = false;
        for transfer in self.0.database.transfers().list_running().await? {
            is_more |= self.plan_transfer(transfer.id, planner).await? == Planned::More;
        }
        Ok(is_more)
    }

    /// Goes on with planning a transfer, unless another process does.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn plan_transfer(&self, id: RandomId, planner: &str) -> Result<Planned> {
        let now = self.0.clock.now();
        let transfers = self.0.database.transfers();
        let until = now.after(PLANNED_FOR);
        let Some(transfer) = transfers.plan(id, planner, now, until).await? else {
            let found = transfers.find(id).await?;
            let is_over = found.is_none_or(|found| found.state != TransferState::Running);
            return Ok(if is_over {
                Planned::Ended
            } else {
                Planned::Waiting
            });
        };
        let (waiting, _) = self.0.database.jobs().count_of(id).await?;
        if waiting >= AHEAD {
            return Ok(Planned::Waiting);
        }
        match u8::try_from(transfer.shard) {
            Ok(last_byte) => self.plan_shard(&transfer, planner, last_byte, now).await,
            Err(_) => self.end_pass(&transfer, planner, waiting, now).await,
        }
    }

    /// Makes jobs of the next rows of a shard.
    async fn plan_shard(
        &self,
        transfer: &Transfer,
        planner: &str,
        last_byte: u8,
        now: Timestamp,
    ) -> Result<Planned> {
        let shard = Shard::of_last_byte(last_byte);
        let contents = self.0.database.contents();
        let rows = contents
            .list_in_store(shard, &transfer.from, transfer.after_id, BATCH)
            .await?;
        let mut paced_until = transfer.paced_until.max(now);
        let mut jobs = Vec::with_capacity(rows.len());
        for (_, row) in &rows {
            jobs.push(NewJob {
                sha1: row.content.sha1,
                size: row.content.size,
                from: transfer.from.clone(),
                to: transfer.to.clone(),
                keeps_source: false,
                transfer: Some(transfer.id),
                due_at: transfer.rate.map_or(now, |_| paced_until),
            });
            if let Some(rate) = transfer.rate {
                paced_until = paced_until.after(time_for(row.content.size, rate));
            }
        }
        let made = self.0.database.jobs().insert_many(&jobs, now).await?;
        let last = rows.last().filter(|_| rows.len() as u64 == BATCH);
        let progress = Progress {
            pass: transfer.pass,
            found: transfer.found + made,
            shard: transfer.shard + u32::from(last.is_none()),
            after_id: last.map_or(0, |(id, _)| *id),
            paced_until,
        };
        let transfers = self.0.database.transfers();
        let advance = transfers.advance(transfer.id, planner, &progress, now);
        if !advance.await? {
            // It was cancelled meanwhile, or another process plans it, and makes them anew.
            self.0
                .database
                .jobs()
                .drop_waiting(transfer.id, now)
                .await?;
            return Ok(Planned::Ended);
        }
        Ok(Planned::More)
    }

    /// Begins a new pass when all jobs of this one are done, or ends the transfer if it found none.
    async fn end_pass(
        &self,
        transfer: &Transfer,
        planner: &str,
        waiting: u64,
        now: Timestamp,
    ) -> Result<Planned> {
        // Those count, too, that somebody else has ordered: they are in the way of this one's.
        let jobs = self.0.database.jobs();
        let (of_both, _) = jobs.count_between(&transfer.from, &transfer.to).await?;
        if waiting > 0 || of_both > 0 {
            return Ok(Planned::Waiting);
        }
        let transfers = self.0.database.transfers();
        if transfer.found == 0 {
            transfers.end(transfer.id, TransferState::Done, now).await?;
            return Ok(Planned::Ended);
        }
        let progress = Progress {
            pass: transfer.pass + 1,
            found: 0,
            shard: 0,
            after_id: 0,
            paced_until: transfer.paced_until,
        };
        transfers
            .advance(transfer.id, planner, &progress, now)
            .await?;
        Ok(Planned::More)
    }

    /// The jobs that are due, the longest waiting first, whoever has their stores.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn due_jobs(&self, limit: u64) -> Result<Vec<Job>> {
        let now = self.0.clock.now();
        Ok(self.0.database.jobs().list_due(now, limit).await?)
    }

    /// Whether the settings have both stores of a job.
    #[must_use]
    pub fn has_stores_of(&self, job: &Job) -> bool {
        [&job.from, &job.to]
            .into_iter()
            .all(|name| self.0.stores.get(name).is_some())
    }

    /// Says that a job is not due before a time has passed, if it is as it was seen; gives until
    /// when.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn defer_job(&self, job: &Job, time: Duration) -> Result<Option<Timestamp>> {
        let until = self.0.clock.now().after(time);
        let jobs = self.0.database.jobs();
        let is_deferred = jobs.defer(job.id, job.due_at, until).await?;
        Ok(is_deferred.then_some(until))
    }

    /// How the jobs stand.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn standing_of_jobs(&self) -> Result<Standing> {
        Ok(self.0.database.jobs().standing().await?)
    }

    /// The jobs that failed too often, after one of them.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn dead_jobs(&self, after: Option<JobId>, limit: u64) -> Result<Vec<Job>> {
        Ok(self.0.database.jobs().list_dead(after, limit).await?)
    }

    /// Lets a job be tried again that failed too often, or all of them; gives how many there were.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn revive_jobs(&self, id: Option<JobId>) -> Result<u64> {
        let now = self.0.clock.now();
        Ok(self.0.database.jobs().revive(id, now).await?)
    }
}
