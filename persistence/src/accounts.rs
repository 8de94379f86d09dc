//! What is kept about how much each owner has, and may have.

pub(crate) mod row;

use domain::{Account, Miscount, OwnQuota, Owner, Timestamp};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DatabaseTransaction, EntityTrait, ExprTrait, QueryFilter,
    QueryOrder, QuerySelect, sea_query::Expr,
};

use self::row::stored;
use crate::{
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

/// How often to compare counts and entries before others have to wait.
const AUDIT_ATTEMPTS: u32 = 5;

/// How much owners have, and may have.
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
    /// Finds how much an owner has in files, and may have; nothing yet is nothing.
    ///
    /// One look-up by primary key; what running uploads take is not looked up.
    ///
    /// # Errors
    ///
    /// When the database fails, or the row cannot be read.
    pub async fn find(&self, owner: &Owner) -> Result<Account> {
        find(self.0.reading(), owner).await
    }

    /// The same before something is added: the primary is asked, which is written to next.
    ///
    /// # Errors
    ///
    /// As [`Accounts::find`].
    pub async fn find_for_update(&self, owner: &Owner) -> Result<Account> {
        find(self.0.newest(), owner).await
    }

    /// Adds to an account what the owner's running uploads take at a moment.
    ///
    /// # Errors
    ///
    /// When the database fails, or a row cannot be read.
    pub async fn with_uploads(
        &self,
        mut account: Account,
        owner: &Owner,
        now: Timestamp,
    ) -> Result<Account> {
        let look = || async {
            let mut usage = account.usage;
            add_uploads(self.0.reading(), owner, now, None, &mut usage).await?;
            Ok::<_, Error>(usage)
        };
        account.usage = attempt(look).await?;
        Ok(account)
    }

    /// Gives an owner a quota of its own.
    ///
    /// # Errors
    ///
    /// When the database fails.
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

    /// Lists owners and what they have in files, in the order of their names, from after one on.
    ///
    /// # Errors
    ///
    /// When the database fails, or a row cannot be read.
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

    /// The owner after one, in the order of their names, who has files or is counted to.
    ///
    /// Two look-ups in indexes.
    ///
    /// # Errors
    ///
    /// When the database fails, or the row cannot be read.
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

    /// Compares an owner's counts with the entries, and gives what differs.
    ///
    /// Reads all of the owner's entries; nobody waits for that unless they differ again and again.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn audit(&self, owner: &Owner) -> Result<Option<Miscount>> {
        for _ in 0..AUDIT_ATTEMPTS {
            // What is added in between makes them differ.
            let find = || usage::Entity::find_by_id(owner.as_str()).one(self.0.newest());
            let counted = attempt(find).await?.map(|row| (row.bytes, row.files));
            let look = || async { sum(self.0.newest(), owner).await };
            if attempt(look).await? == counted.unwrap_or_default() {
                return Ok(None);
            }
        }
        self.recount_if(owner, false).await
    }

    /// Counts an owner's entries anew, and gives what was wrong.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn recount(&self, owner: &Owner) -> Result<Option<Miscount>> {
        self.recount_if(owner, true).await
    }

    async fn recount_if(&self, owner: &Owner, corrects: bool) -> Result<Option<Miscount>> {
        self.0
            .transact(|transaction| async move { recount(&transaction, owner, corrects).await })
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
    corrects: bool,
) -> Result<Option<Miscount>> {
    add_usage(transaction, owner, 0, 0).await?;
    let row = lock(transaction, owner).await?;
    let counted = (row.bytes, row.files);
    let found = sum(transaction, owner).await?;
    if counted == found {
        return Ok(None);
    }
    if corrects {
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

/// The bytes and the number of an owner's entries.
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
