//! What is kept about how much each owner has, and may have.

use domain::{Owner, Quota, Timestamp, Usage};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DatabaseTransaction, EntityTrait, ExprTrait, QueryFilter,
    QueryOrder, QuerySelect, sea_query::Expr,
};

use crate::{
    Database, Error, Result,
    connection::Connection,
    database::{attempt, big_integer, transact},
    entities::{PURGING, usage, user_file},
    usage::{add_uploads, charge, locked},
};

/// How often to compare counts and entries before others have to wait.
const AUDITS: u32 = 5;

/// What is kept about an owner's room.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Account {
    /// How much the owner has.
    pub usage: Usage,
    /// The quota of this owner, where it is another than everybody's.
    pub own: OwnQuota,
}

/// Where an owner's quota is another than everybody's.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OwnQuota {
    /// Bytes of all files together.
    pub bytes: Option<Limit>,
    /// Files.
    pub files: Option<Limit>,
    /// Uploads that are running.
    pub uploads: Option<Limit>,
}

/// An owner's own limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// So many.
    AtMost(u64),
    /// None.
    Unlimited,
}

/// A count that does not agree with what there is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Miscount {
    /// Whose it is.
    pub owner: Owner,
    /// The bytes and files that are counted.
    pub counted: (i64, i64),
    /// The bytes and files that there are.
    pub found: (i64, i64),
}

impl OwnQuota {
    /// The quota that holds for the owner, given everybody's.
    #[must_use]
    pub fn over(&self, everybody: &Quota) -> Quota {
        let choose = |own: Option<Limit>, default| match own {
            None => default,
            Some(Limit::AtMost(most)) => Some(most),
            Some(Limit::Unlimited) => None,
        };
        Quota {
            bytes: choose(self.bytes, everybody.bytes),
            files: choose(self.files, everybody.files),
            uploads: choose(self.uploads, everybody.uploads),
        }
    }
}

/// How much owners have, and may have.
#[derive(Clone, Copy)]
pub struct Accounts<'a>(pub(crate) &'a Database);

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
    pub async fn find_to_change(&self, owner: &Owner) -> Result<Account> {
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
        transact(|| async {
            let transaction = self.0.begin().await?;
            let work = async {
                charge(&transaction, owner, 0, 0).await?;
                usage::Entity::update_many()
                    .col_expr(usage::Column::MaxBytes, Expr::val(stored(quota.bytes)?))
                    .col_expr(usage::Column::MaxFiles, Expr::val(stored(quota.files)?))
                    .col_expr(usage::Column::MaxUploads, Expr::val(stored(quota.uploads)?))
                    .filter(usage::Column::Owner.eq(owner.as_str()))
                    .exec(&transaction)
                    .await?;
                Ok(())
            };
            let work = work.await;
            Ok((transaction, work))
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
            .map(|row| Ok((row.owner.parse().map_err(corrupt)?, row.try_into()?)))
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
        next.map(|owner| owner.parse().map_err(corrupt)).transpose()
    }

    /// Compares an owner's counts with the entries, and gives what differs.
    ///
    /// Reads all of the owner's entries; nobody waits for that unless they differ again and again.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn audit(&self, owner: &Owner) -> Result<Option<Miscount>> {
        for _ in 0..AUDITS {
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
        transact(|| async {
            let transaction = self.0.begin().await?;
            let work = recount(&transaction, owner, corrects).await;
            Ok((transaction, work))
        })
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
    charge(transaction, owner, 0, 0).await?;
    let row = locked(transaction, owner).await?;
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

/// An own limit as the column has it: the largest number stands for none.
fn stored(limit: Option<Limit>) -> Result<Option<i64>> {
    match limit {
        None => Ok(None),
        Some(Limit::Unlimited) => Ok(Some(i64::MAX)),
        Some(Limit::AtMost(most)) => signed(most).map(Some),
    }
}

fn limit(stored: Option<i64>) -> Result<Option<Limit>> {
    match stored {
        None => Ok(None),
        Some(i64::MAX) => Ok(Some(Limit::Unlimited)),
        Some(most) => Ok(Some(Limit::AtMost(unsigned(most)?))),
    }
}

impl TryFrom<usage::Model> for Account {
    type Error = Error;

    fn try_from(row: usage::Model) -> Result<Self> {
        Ok(Self {
            usage: Usage {
                // A release of before that runs beside this one does not count what it adds, so
                // that less than nothing may be left; it is found by a check.
                bytes: Ord::max(row.bytes, 0).unsigned_abs(),
                files: Ord::max(row.files, 0).unsigned_abs(),
                ..Usage::default()
            },
            own: OwnQuota {
                bytes: limit(row.max_bytes)?,
                files: limit(row.max_files)?,
                uploads: limit(row.max_uploads)?,
            },
        })
    }
}

pub(crate) fn unsigned(stored: i64) -> Result<u64> {
    stored.try_into().map_err(corrupt)
}

fn signed(count: u64) -> Result<i64> {
    count.try_into().map_err(corrupt)
}

#[expect(clippy::needless_pass_by_value, reason = "it is what `map_err` gives")]
pub(crate) fn corrupt(reason: impl ToString) -> Error {
    Error::corrupt("tbl_usage", &reason)
}
