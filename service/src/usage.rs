//! Usage and quotas of owners.

use domain::{Account, Miscount, OwnQuota, Owner, Quota, Usage};

use crate::{FileService, Result, boxed};

/// Number of owners per query.
const BATCH: u64 = 500;

/// Usage and quota of an owner.
#[derive(Debug, Clone, Copy)]
pub struct Allowance {
    /// Current usage.
    pub usage: Usage,
    /// Effective quota.
    pub quota: Quota,
    /// Limits that differ from the default quota.
    pub own: OwnQuota,
}

impl FileService {
    /// Finds an owner's usage and quota.
    ///
    /// # Errors
    ///
    /// When the database fails.
    #[boxed]
    pub async fn find_usage(&self, owner: &Owner) -> Result<Allowance> {
        let accounts = self.0.database.accounts();
        let account = accounts.find(owner).await?;
        let now = self.0.clock.now();
        let account = accounts.with_uploads(account, owner, now).await?;
        let mut allowance = self.allowance(account);
        allowance.usage = allowance.usage.plus(&self.0.reservations.reserved(owner));
        Ok(allowance)
    }

    /// Sets an owner's quota.
    ///
    /// # Errors
    ///
    /// When the database fails.
    #[boxed]
    pub async fn set_quota(&self, owner: &Owner, quota: &OwnQuota) -> Result<()> {
        Ok(self.0.database.accounts().set_quota(owner, quota).await?)
    }

    /// Lists the usage of owners in files, in the order of their names, after an owner.
    ///
    /// # Errors
    ///
    /// When the database fails.
    #[boxed]
    pub async fn list_usage(&self, after: Option<&Owner>) -> Result<Vec<(Owner, Allowance)>> {
        let after = after.map(Owner::as_str).unwrap_or_default();
        let listed = self.0.database.accounts().list(after, BATCH).await?;
        let allowances = listed.into_iter();
        Ok(allowances
            .map(|(owner, account)| (owner, self.allowance(account)))
            .collect())
    }

    /// Recounts the usage of an owner; returns the error found.
    ///
    /// # Errors
    ///
    /// When the database fails.
    #[boxed]
    pub async fn recount(&self, owner: &Owner) -> Result<Option<Miscount>> {
        Ok(self.0.database.accounts().recount(owner).await?)
    }

    /// Recounts the usage of all owners; returns the errors found.
    ///
    /// # Errors
    ///
    /// When the database fails.
    #[boxed]
    pub async fn recount_all(&self) -> Result<Vec<Miscount>> {
        let accounts = self.0.database.accounts();
        let (mut miscounts, mut last) = (Vec::new(), None);
        while let Some(owner) = accounts.next_owner(last.as_ref()).await? {
            miscounts.extend(accounts.recount(&owner).await?);
            last = Some(owner);
        }
        Ok(miscounts)
    }

    fn allowance(&self, account: Account) -> Allowance {
        Allowance {
            usage: account.usage,
            quota: account.own.over(&self.0.limits.quota),
            own: account.own,
        }
    }
}
