//! How much owners have, and may have.

use domain::{Owner, Quota, Usage};
use persistence::{Account, Miscount, OwnQuota};

use crate::{FileService, Result};

/// How many owners are looked at together.
const BATCH: u64 = 500;

/// How much an owner has, and may have.
#[derive(Debug, Clone, Copy)]
pub struct Allowance {
    /// How much there is.
    pub usage: Usage,
    /// How much there may be.
    pub quota: Quota,
    /// Where the quota is another than everybody's.
    pub own: OwnQuota,
}

impl FileService {
    /// Tells how much an owner has, and may have.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn find_usage(&self, owner: &Owner) -> Result<Allowance> {
        let accounts = self.0.database.accounts();
        let account = accounts.find(owner).await?;
        let now = self.0.clock.now();
        let account = accounts.with_uploads(account, owner, now).await?;
        let mut allowance = self.allowance(account);
        allowance.usage = allowance.usage.plus(&self.0.reservations.reserved(owner));
        Ok(allowance)
    }

    /// Gives an owner a quota of its own.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn set_quota(&self, owner: &Owner, quota: &OwnQuota) -> Result<()> {
        Ok(self.0.database.accounts().set_quota(owner, quota).await?)
    }

    /// Lists what owners have in files, in the order of their names, from after one on.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn list_usage(&self, after: Option<&Owner>) -> Result<Vec<(Owner, Allowance)>> {
        let after = after.map(Owner::as_str).unwrap_or_default();
        let listed = self.0.database.accounts().list(after, BATCH).await?;
        let allowances = listed.into_iter();
        Ok(allowances
            .map(|(owner, account)| (owner, self.allowance(account)))
            .collect())
    }

    /// Counts anew what an owner has, and gives what was wrong.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn recount(&self, owner: &Owner) -> Result<Option<Miscount>> {
        Ok(self.0.database.accounts().recount(owner).await?)
    }

    /// Counts anew what every owner has, and gives what was wrong.
    ///
    /// # Errors
    ///
    /// When the database fails.
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
