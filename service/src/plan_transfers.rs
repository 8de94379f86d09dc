//! Plans transfers: creates their jobs.
//!
//! A transfer passes over the rows of the source store and creates a job for each, at most a
//! thousand ahead of the workers. Its position is in its row, so that any process can continue. It
//! passes over the rows again until it finds none. With a rate limit, jobs become due no faster
//! than the limit allows, regardless of the number of workers.

use std::time::Duration;

use domain::{NewJob, RandomId, ScanProgress, Timestamp, Transfer, TransferState};
use persistence::Shard;

use crate::{FileService, Result, boxed, copy::time_for};

/// Maximum number of waiting jobs before planning pauses.
const MAX_WAITING_JOBS: u64 = 1_000;

/// Number of rows per query.
const BATCH: u64 = 250;

/// Time after which another process may continue to plan a transfer.
///
/// Only the worker that holds the housekeeping lease plans; this time is for commands that run a
/// transfer.
const PLANNER_LEASE: Duration = Duration::from_secs(10);

/// Progress of planning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlanProgress {
    /// There may be more to plan at once.
    More,
    /// Nothing to plan for now.
    Waiting,
    /// The transfer has ended.
    Ended,
}

impl FileService {
    /// Plans the running transfers as far ahead as allowed; returns whether there is more to plan
    /// at once.
    ///
    /// # Errors
    ///
    /// When the database fails.
    #[boxed]
    pub async fn plan_transfers(&self, planner: &str) -> Result<bool> {
        let mut is_more = false;
        for transfer in self.0.database.transfers().list_running().await? {
            is_more |= self.plan_transfer(transfer.id, planner).await? == PlanProgress::More;
        }
        Ok(is_more)
    }

    /// Plans a transfer unless another process does.
    ///
    /// # Errors
    ///
    /// When the database fails.
    #[boxed]
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
        let (waiting, _) = self.0.database.jobs().count_in_transfer(id).await?;
        if waiting >= MAX_WAITING_JOBS {
            return Ok(PlanProgress::Waiting);
        }
        match u8::try_from(transfer.shard) {
            Ok(last_byte) => self.plan_shard(&transfer, planner, last_byte, now).await,
            Err(_) => self.end_pass(&transfer, planner, waiting, now).await,
        }
    }

    /// Creates jobs for the next rows of a shard.
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
        let progress = ScanProgress {
            pass: transfer.pass,
            found: transfer.found + made,
            shard: transfer.shard + u32::from(last.is_none()),
            after_id: last.map_or(0, |(id, _)| *id),
            paced_until,
        };
        let transfers = self.0.database.transfers();
        let advance = transfers.advance(transfer.id, planner, &progress, now);
        if !advance.await? {
            // The transfer was cancelled, or another process plans it and creates these jobs again.
            self.0
                .database
                .jobs()
                .remove_waiting(transfer.id, now)
                .await?;
            return Ok(PlanProgress::Ended);
        }
        Ok(PlanProgress::More)
    }

    /// Begins a new pass after all jobs of this one are done, or ends the transfer if the pass
    /// found no rows.
    async fn end_pass(
        &self,
        transfer: &Transfer,
        planner: &str,
        waiting: u64,
        now: Timestamp,
    ) -> Result<PlanProgress> {
        // Jobs from elsewhere between the same stores count as well: they keep this transfer from
        // creating jobs for the same contents.
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
        let progress = ScanProgress {
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
