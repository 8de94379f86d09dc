//! Accounts: the usage and the own quota of each owner.

pub(crate) mod row;

use domain::{Account, Miscount, OwnQuota, Owner, Timestamp};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DatabaseTransaction, EntityTrait, ExprTrait, QueryFilter,
    QueryOrder, QuerySelect, sea_query::Expr,
};

use self::row::stored;
use crate::{
    boxed,
    connection::Connection,
    database::Database,
    entities::{PURGING, usage, user_file},
    error::{Error, Result},
    row::{OrCorrupt as _, big_integer},
    transaction::attempt,
    usage::{add_uploads, add_usage, lock},
};

/// The table whose rows this file reads and writes.
const TABLE: &str = "tbl_usage";

/// The number of comparisons without a lock before an audit locks the owner's row.
const AUDIT_ATTEMPTS: u32 = 5;

/// The repository of accounts: the usage and the own quota of each owner.
#[derive(Clone, Copy)]
pub struct Accounts<'a>(&'a Database);

impl Database {
    /// The repository of accounts.
    #[must_use]
    pub fn accounts(&self) -> Accounts<'_> {
        Accounts(self)
    }
}

impl Accounts<'_> {
    /// Finds an owner's usage of stored files and the owner's own quota; an owner without a row has
    /// used nothing.
    ///
    /// One lookup by primary key; running uploads are not counted.
    ///
    /// # Errors
    ///
    /// When the database fails, or the row cannot be read.
    #[boxed]
    pub async fn find(&self, owner: &Owner) -> Result<Account> {
        find(self.0.reading(), owner).await
    }

    /// The same before a write: only the primary is asked, since the write goes there.
    ///
    /// # Errors
    ///
    /// The same as those of [`Accounts::find`].
    #[boxed]
    pub async fn find_for_update(&self, owner: &Owner) -> Result<Account> {
        find(self.0.newest(), owner).await
    }

    /// Adds an owner's running uploads to the usage of an account.
    ///
    /// # Errors
    ///
    /// When the database fails, or a row cannot be read.
    #[boxed]
    pub async fn with_uploads(
        &self,
        mut account: Account,
        owner: &Owner,
        now: Timestamp,
    ) -> Result<Account> {
        let query = || async {
            let mut usage = account.usage;
            add_uploads(self.0.reading(), owner, now, None, &mut usage).await?;
            Ok::<_, Error>(usage)
        };
        account.usage = attempt(query).await?;
        Ok(account)
    }

    /// Sets an owner's own quota.
    ///
    /// # Errors
    ///
    /// When the database fails.
    #[boxed]
    pub async fn set_quota(&self, owner: &Owner, quota: &OwnQuota) -> Result<()> {
        self.0
            .transact(|transaction| async move {
                add_usage(&transaction, owner, 0, 0).await?;
                usage::Entity::update_many()
                    .col_expr(usage::Column::MaxBytes, Expr::val(stored(quota.bytes)?))
                    .col_expr(usage::Column::MaxFiles, Expr::val(stored(quota.files)?))
                    .col_expr(usage::Column::MaxUploads, Expr::val(stored(quota.uploads)?))
                    .filter(usage::Column::Owner.eq(owner.as_str()))
                    .exec(&*transaction)
                    .await?;
                Ok(())
            })
            .await
    }

    /// Lists up to `limit` owners and their usage of stored files, ordered by name, from the first
    /// name after `after`.
    ///
    /// # Errors
    ///
    /// When the database fails, or a row cannot be read.
    #[boxed]
    pub async fn list(&self, after: &str, limit: u64) -> Result<Vec<(Owner, Account)>> {
        let list = || {
            usage::Entity::find()
                .filter(usage::Column::Owner.gt(after))
                .order_by_asc(usage::Column::Owner)
                .limit(limit)
                .all(self.0.newest())
        };
        let rows = attempt(list).await?;
        rows.into_iter()
            .map(|row| Ok((row.owner.parse().or_corrupt(TABLE)?, row.try_into()?)))
            .collect()
    }

    /// Finds the next owner, ordered by name, who has files or a usage count.
    ///
    /// Two index lookups.
    ///
    /// # Errors
    ///
    /// When the database fails, or the row cannot be read.
    #[boxed]
    pub async fn next_owner(&self, after: Option<&Owner>) -> Result<Option<Owner>> {
        let after = after.map(Owner::as_str).unwrap_or_default();
        let counted = || {
            usage::Entity::find()
                .select_only()
                .column(usage::Column::Owner)
                .filter(usage::Column::Owner.gt(after))
                .order_by_asc(usage::Column::Owner)
                .limit(1)
                .into_tuple::<String>()
                .one(self.0.newest())
        };
        let having = || {
            user_file::Entity::find()
                .select_only()
                .column(user_file::Column::Owner)
                .filter(user_file::Column::Owner.gt(after))
                .order_by_asc(user_file::Column::Owner)
                .limit(1)
                .into_tuple::<String>()
                .one(self.0.newest())
        };
        let [counted, having] = [attempt(counted).await?, attempt(having).await?];
        let next = counted.iter().chain(&having).min();
        next.map(|owner| owner.parse().or_corrupt(TABLE))
            .transpose()
    }

    /// Compares an owner's usage count with the owner's entries and returns the difference.
    ///
    /// Reads all entries of the owner; locks the count only if several comparisons in a row find a
    /// difference.
    ///
    /// # Errors
    ///
    /// When the database fails.
    #[boxed]
    pub async fn audit(&self, owner: &Owner) -> Result<Option<Miscount>> {
        for _ in 0..AUDIT_ATTEMPTS {
            // A file that is added between the two reads makes them differ.
            let find = || usage::Entity::find_by_id(owner.as_str()).one(self.0.newest());
            let counted = attempt(find).await?.map(|row| (row.bytes, row.files));
            let query = || async { sum(self.0.newest(), owner).await };
            if attempt(query).await? == counted.unwrap_or_default() {
                return Ok(None);
            }
        }
        self.recount_if(owner, false).await
    }

    /// Replaces an owner's usage count by the sum over the entries and returns the difference.
    ///
    /// # Errors
    ///
    /// When the database fails.
    #[boxed]
    pub async fn recount(&self, owner: &Owner) -> Result<Option<Miscount>> {
        self.recount_if(owner, true).await
    }

    async fn recount_if(&self, owner: &Owner, corrected: bool) -> Result<Option<Miscount>> {
        self.0
            .transact(|transaction| async move { recount(&transaction, owner, corrected).await })
            .await
    }
}

async fn find(connection: &Connection, owner: &Owner) -> Result<Account> {
    let find = || usage::Entity::find_by_id(owner.as_str()).one(connection);
    let row = attempt(find).await?;
    Ok(row.map(Account::try_from).transpose()?.unwrap_or_default())
}

async fn recount(
    transaction: &DatabaseTransaction,
    owner: &Owner,
    corrected: bool,
) -> Result<Option<Miscount>> {
    add_usage(transaction, owner, 0, 0).await?;
    let row = lock(transaction, owner).await?;
    let counted = (row.bytes, row.files);
    let found = sum(transaction, owner).await?;
    if counted == found {
        return Ok(None);
    }
    if corrected {
        usage::Entity::update_many()
            .col_expr(usage::Column::Bytes, Expr::val(found.0))
            .col_expr(usage::Column::Files, Expr::val(found.1))
            .filter(usage::Column::Owner.eq(owner.as_str()))
            .exec(transaction)
            .await?;
    }
    Ok(Some(Miscount {
        owner: owner.clone(),
        counted,
        found,
    }))
}

/// The total size and the number of an owner's entries.
async fn sum(connection: &impl ConnectionTrait, owner: &Owner) -> Result<(i64, i64)> {
    let integer = big_integer(connection.get_database_backend());
    let bytes = Expr::col(user_file::Column::FileSize).sum();
    let sums = user_file::Entity::find()
        .select_only()
        .column_as(bytes.cast_as(integer), "bytes")
        .column_as(user_file::Column::Id.count(), "files")
        .filter(user_file::Column::Owner.eq(owner.as_str()))
        .filter(user_file::Column::Status.ne(PURGING))
        .into_tuple::<(Option<i64>, i64)>()
        .one(connection)
        .await?;
    let (bytes, files) = sums.unwrap_or_default();
    Ok((bytes.unwrap_or_default(), files))
}
