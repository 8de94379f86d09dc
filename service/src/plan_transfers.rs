//! Plan.

use std::time::Duration;

use domain::{RandomId, Timestamp};
use persistence::{NewJob, Progress, Shard, Transfer, TransferState};

use crate::{FileService, Result, copy::time_for};

/// How many jobs of a transfer wait at most before it makes no more.
const MAX_WAITING_JOBS: u64 = 1_000;

/// How many rows are looked at together.
const BATCH: u64 = 250;

/// How long a process plans a transfer before another may go on with it.
///
/// Of workers only the one that keeps house plans; the time is for those that command a transfer.
const PLANNER_LEASE: Duration = Duration::from_secs(10);

/// How far planning came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlanProgress {
    /// There may be more to do at once.
    More,
    /// There is nothing to do for now.
    Waiting,
    /// The transfer has ended.
    Ended,
}

impl FileService {
    /// Goes on with planning the transfers that run, as far as workers can follow; gives whether
    /// there is more to plan at once.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn plan_transfers(&self, planner: &str) -> Result<bool> {
        let mut is_more = false;
        for transfer in self.0.database.transfers().list_running().await? {
            is_more |= self.plan_transfer(transfer.id, planner).await? == PlanProgress::More;
        }
        Ok(is_more)
    }

    /// Goes on with planning a transfer, unless another process does.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn plan_transfer(&self, id: RandomId, planner: &str) -> Result<PlanProgress> {
        let now = self.0.clock.now();
        let transfers = self.0.database.transfers();
        let until = now.after(PLANNER_LEASE);
        let Some(transfer) = transfers.plan(id, planner, now, until).await? else {
            let found = transfers.find(id).await?;
            let is_over = found.is_none_or(|found| found.state != TransferState::Running);
            return Ok(if is_over {
                PlanProgress::Ended
            } else {
                PlanProgress::Waiting
            });
        };
        let (waiting, _) = self.0.database.jobs().count_of(id).await?;
        if waiting >= MAX_WAITING_JOBS {
            return Ok(PlanProgress::Waiting);
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
    ) -> Result<PlanProgress> {
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
            return Ok(PlanProgress::Ended);
        }
        Ok(PlanProgress::More)
    }

    /// Begins a new pass when all jobs of this one are done, or ends the transfer if it found none.
    async fn end_pass(
        &self,
        transfer: &Transfer,
        planner: &str,
        waiting: u64,
        now: Timestamp,
    ) -> Result<PlanProgress> {
        // Those count, too, that somebody else has ordered: they are in the way of this one's.
        let jobs = self.0.database.jobs();
        let (of_both, _) = jobs.count_between(&transfer.from, &transfer.to).await?;
        if waiting > 0 || of_both > 0 {
            return Ok(PlanProgress::Waiting);
        }
        let transfers = self.0.database.transfers();
        if transfer.found == 0 {
            transfers.end(transfer.id, TransferState::Done, now).await?;
            return Ok(PlanProgress::Ended);
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
        Ok(PlanProgress::More)
    }
}
