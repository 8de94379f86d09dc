//! Transfers: moving all contents of a store to another one while the service runs.

use domain::{RandomId, Transfer, TransferState};

use crate::{Error, FileService, Result, boxed, random::random_id};

/// A transfer and its open jobs.
#[derive(Debug, Clone)]
pub struct TransferReport {
    /// The transfer.
    pub transfer: Transfer,
    /// Jobs that wait or are being executed.
    pub waiting: u64,
    /// Jobs that failed too often.
    pub failed: u64,
}

impl FileService {
    /// Starts a transfer between two stores, or returns the one that runs; the flag is true for a
    /// new one.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownStore`] when one of the stores is not configured, [`Error::SameStore`], or
    /// when the database fails.
    #[boxed]
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
        // Dead jobs of an earlier transfer must not keep this one from trying again.
        self.0.database.jobs().remove_dead(from, to).await?;
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

    /// Finds a transfer.
    ///
    /// # Errors
    ///
    /// [`Error::TransferNotFound`], or when the database fails.
    #[boxed]
    pub async fn find_transfer(&self, id: RandomId) -> Result<TransferReport> {
        let found = self.0.database.transfers().find(id).await?;
        self.report(found.ok_or(Error::TransferNotFound)?).await
    }

    /// Lists the newest transfers.
    ///
    /// # Errors
    ///
    /// When the database fails.
    #[boxed]
    pub async fn list_transfers(&self, limit: u64) -> Result<Vec<TransferReport>> {
        let mut reports = Vec::new();
        for transfer in self.0.database.transfers().list(limit).await? {
            reports.push(self.report(transfer).await?);
        }
        Ok(reports)
    }

    async fn report(&self, transfer: Transfer) -> Result<TransferReport> {
        let jobs = self.0.database.jobs();
        let (waiting, mut failed) = jobs.count_in_transfer(transfer.id).await?;
        if transfer.state != TransferState::Cancelled {
            // The same copies may have been requested before.
            let (_, of_both) = jobs.count_between(&transfer.from, &transfer.to).await?;
            failed = failed.max(of_both);
        }
        Ok(TransferReport {
            transfer,
            waiting,
            failed,
        })
    }

    /// Cancels the running transfer between two stores.
    ///
    /// # Errors
    ///
    /// [`Error::TransferNotFound`] when there is none, or when the database fails.
    #[boxed]
    pub async fn cancel_transfer_between(&self, from: &str, to: &str) -> Result<TransferReport> {
        let running = self.0.database.transfers().find_running(from, to).await?;
        let id = running.ok_or(Error::TransferNotFound)?.id;
        self.cancel_transfer(id).await?;
        self.find_transfer(id).await
    }

    /// Cancels a transfer: contents whose copy has not begun stay where they are.
    ///
    /// # Errors
    ///
    /// [`Error::TransferNotFound`], [`Error::TransferEnded`], or when the database fails.
    #[boxed]
    pub async fn cancel_transfer(&self, id: RandomId) -> Result<()> {
        let now = self.0.clock.now();
        let transfers = self.0.database.transfers();
        if transfers.find(id).await?.is_none() {
            return Err(Error::TransferNotFound);
        }
        if !transfers.end(id, TransferState::Cancelled, now).await? {
            return Err(Error::TransferEnded);
        }
        self.0.database.jobs().remove_waiting(id, now).await?;
        Ok(())
    }
}
