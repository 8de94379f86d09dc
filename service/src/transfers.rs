//! Moving everything that a store has to another one, while the service runs.
//!
//! A transfer goes over the rows of the store that is to be emptied, and makes a job of each, some
//! hundred ahead of the workers; where it is, is in its row, so any process can go on with it. It
//! goes over them again until it finds nothing more. At a limited rate, jobs become due as fast as
//! it allows, whoever works at them.

use domain::RandomId;
use persistence::{Transfer, TransferState};

use crate::{Error, FileService, Result, random::random_id};

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

impl FileService {
    /// Begins to move everything from one store to another, or goes on with that.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownStore`] when the settings do not have one of the stores, [`Error::SameStore`], or
    /// when the database fails.
    pub async fn start_transfer(
        &self,
        from: &str,
        to: &str,
        rate: Option<u64>,
    ) -> Result<(TransferReport, bool)> {
        for name in [from, to] {
            if self.0.stores.get(name).is_none() {
                return Err(Error::UnknownStore(name.to_owned()));
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
            return Ok((self.find_transfer(running.id).await?, false));
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
        Ok((self.find_transfer(transfer.id).await?, true))
    }

    /// A transfer, as it is now.
    ///
    /// # Errors
    ///
    /// [`Error::TransferNotFound`], or when the database fails.
    pub async fn find_transfer(&self, id: RandomId) -> Result<TransferReport> {
        let found = self.0.database.transfers().find(id).await?;
        self.report(found.ok_or(Error::TransferNotFound)?).await
    }

    /// The newest transfers.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn list_transfers(&self, limit: u64) -> Result<Vec<TransferReport>> {
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
        self.find_transfer(id).await
    }

    /// Ends a transfer: what it has not begun to copy stays where it is.
    ///
    /// # Errors
    ///
    /// [`Error::TransferNotFound`], [`Error::TransferEnded`], or when the database fails.
    pub async fn cancel_transfer(&self, id: RandomId) -> Result<()> {
        let now = self.0.clock.now();
        let transfers = self.0.database.transfers();
        if transfers.find(id).await?.is_none() {
            return Err(Error::TransferNotFound);
        }
        if !transfers.end(id, TransferState::Cancelled, now).await? {
            return Err(Error::TransferEnded);
        }
        self.0.database.jobs().drop_waiting(id, now).await?;
        Ok(())
    }
}
