//! Contents: one row for each distinct content, in the shard of its SHA-1.

mod row;

use domain::{Sha1, StoredContent};
use sea_orm::{
    ColumnTrait, ConnectionTrait as _, DatabaseTransaction, ExprTrait, QueryFilter, QueryOrder,
    QuerySelect, Select, sea_query::Expr,
};

use crate::{
    boxed,
    connection::Connection,
    database::Database,
    entities::{AVAILABLE, file},
    error::Result,
    row::{OrCorrupt as _, big_integer},
    shard::Shard,
    transaction::attempt,
};

/// The table whose rows this file reads and writes.
const TABLE: &str = "file";

/// The repository of contents.
#[derive(Clone, Copy)]
pub struct Contents<'a>(&'a Database);

impl Database {
    /// The repository of contents.
    #[must_use]
    pub fn contents(&self) -> Contents<'_> {
        Contents(self)
    }
}

impl Contents<'_> {
    /// Finds an available content.
    ///
    /// One lookup by a unique index.
    ///
    /// # Errors
    ///
    /// When the database fails, or the row cannot be read.
    #[boxed]
    pub async fn find(&self, sha1: &Sha1) -> Result<Option<StoredContent>> {
        find(self.0.reading(), sha1).await
    }

    /// The same before a write: only the primary is asked, since the write goes there.
    ///
    /// # Errors
    ///
    /// The same as those of [`Contents::find`].
    #[boxed]
    pub async fn find_for_update(&self, sha1: &Sha1) -> Result<Option<StoredContent>> {
        find(self.0.newest(), sha1).await
    }

    /// Finds which of the given contents a shard has, in any state. Reads from the primary.
    ///
    /// # Errors
    ///
    /// When the database fails, or a row cannot be read.
    #[boxed]
    pub async fn find_many(&self, shard: Shard, sha1s: &[Sha1]) -> Result<Vec<StoredContent>> {
        let find = || {
            shard
                .select()
                .filter(file::Column::FileSha1.is_in(sha1s.iter().map(Sha1::to_string)))
                .all(self.0.newest())
        };
        let rows = attempt(find).await?;
        rows.into_iter().map(TryInto::try_into).collect()
    }

    /// Finds which of the given contents a shard has and are available. Reads from the primary.
    ///
    /// # Errors
    ///
    /// When the database fails, or a row cannot be read.
    #[boxed]
    pub async fn find_available(&self, shard: Shard, sha1s: &[Sha1]) -> Result<Vec<StoredContent>> {
        let find = || {
            shard
                .select()
                .filter(file::Column::FileSha1.is_in(sha1s.iter().map(Sha1::to_string)))
                .filter(file::Column::Status.eq(AVAILABLE))
                .all(self.0.newest())
        };
        let rows = attempt(find).await?;
        rows.into_iter().map(TryInto::try_into).collect()
    }

    /// Lists up to `limit` available contents of a shard, from the first row after `after`.
    ///
    /// Each comes with the number of its row, which is `after` for the next page.
    ///
    /// # Errors
    ///
    /// When the database fails, or a row cannot be read.
    #[boxed]
    pub async fn list(
        &self,
        shard: Shard,
        after: i64,
        limit: u64,
    ) -> Result<Vec<(i64, StoredContent)>> {
        list(self.0.reading(), AVAILABLE, shard, after, limit).await
    }

    /// The bytes of the available contents of a shard.
    ///
    /// # Errors
    ///
    /// When the database fails.
    #[boxed]
    pub async fn count_bytes(&self, shard: Shard) -> Result<u64> {
        let connection = self.0.reading();
        let integer = big_integer(connection.get_database_backend());
        let bytes = Expr::col(file::Column::FileSize).sum().cast_as(integer);
        let count = || {
            shard
                .select()
                .select_only()
                .column_as(bytes.clone(), "bytes")
                .filter(file::Column::Status.eq(AVAILABLE))
                .into_tuple::<Option<i64>>()
                .one(connection)
        };
        let counted = attempt(count).await?.flatten().unwrap_or_default();
        u64::try_from(counted).or_corrupt(TABLE)
    }

    /// Lists up to `limit` available contents of a shard whose first copy is in a store, from the
    /// first row after `after`. Reads from the primary.
    ///
    /// Each comes with the number of its row, which is `after` for the next page.
    ///
    /// # Errors
    ///
    /// When the database fails, or a row cannot be read.
    #[boxed]
    pub async fn list_in_store(
        &self,
        shard: Shard,
        store: &str,
        after: i64,
        limit: u64,
    ) -> Result<Vec<(i64, StoredContent)>> {
        let list = || {
            in_store(shard, store)
                .filter(file::Column::Id.gt(after))
                .order_by_asc(file::Column::Id)
                .limit(limit)
                .all(self.0.newest())
        };
        let rows = attempt(list).await?;
        rows.into_iter()
            .map(|row| Ok((row.id, row.try_into()?)))
            .collect()
    }

    /// Reports whether any available content has a copy in a store.
    ///
    /// # Errors
    ///
    /// When the database fails.
    #[boxed]
    pub async fn is_any_in(&self, store: &str) -> Result<bool> {
        for shard in Shard::all() {
            let second = file::Column::Ext2
                .gte(format!("{store}:"))
                .and(file::Column::Ext2.lt(format!("{store};")));
            let first = file::Column::FileAddr
                .gte(format!("{store}:"))
                .and(file::Column::FileAddr.lt(format!("{store};")));
            let query = || {
                shard
                    .select()
                    .select_only()
                    .column(file::Column::Id)
                    .filter(file::Column::Status.eq(AVAILABLE))
                    .filter(first.clone().or(second.clone()))
                    .into_tuple::<i64>()
                    .one(self.0.newest())
            };
            if attempt(query).await?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Counts the available contents whose first copy is in a store, and their bytes.
    ///
    /// Reads all rows of all shards, one shard after the other.
    ///
    /// # Errors
    ///
    /// When the database fails.
    #[boxed]
    pub async fn count_in_store(&self, store: &str) -> Result<(u64, u64)> {
        let connection = self.0.reading();
        let mut counted = (0, 0);
        for shard in Shard::all() {
            let integer = big_integer(connection.get_database_backend());
            let bytes = Expr::col(file::Column::FileSize).sum().cast_as(integer);
            let count = || {
                in_store(shard, store)
                    .select_only()
                    .column_as(file::Column::Id.count(), "files")
                    .column_as(bytes.clone(), "bytes")
                    .into_tuple::<(i64, Option<i64>)>()
                    .one(connection)
            };
            let (files, bytes) = attempt(count).await?.unwrap_or_default();
            counted.0 += u64::try_from(files).or_corrupt(TABLE)?;
            counted.1 += u64::try_from(bytes.unwrap_or_default()).or_corrupt(TABLE)?;
        }
        Ok(counted)
    }
}

async fn find(connection: &Connection, sha1: &Sha1) -> Result<Option<StoredContent>> {
    let find = || {
        Shard::of(sha1)
            .select()
            .filter(file::Column::FileSha1.eq(sha1.to_string()))
            .one(connection)
    };
    let row = attempt(find).await?;
    row.filter(|row| row.status == AVAILABLE)
        .map(StoredContent::try_from)
        .transpose()
}

/// Lists up to `limit` contents of a shard that have a status, from the first row after `after`.
pub(crate) async fn list(
    connection: &Connection,
    status: i32,
    shard: Shard,
    after: i64,
    limit: u64,
) -> Result<Vec<(i64, StoredContent)>> {
    let list = || {
        shard
            .select()
            .filter(file::Column::Id.gt(after))
            .filter(file::Column::Status.eq(status))
            .order_by_asc(file::Column::Id)
            .limit(limit)
            .all(connection)
    };
    let rows = attempt(list).await?;
    rows.into_iter()
        .map(|row| Ok((row.id, row.try_into()?)))
        .collect()
}

/// Selects a shard's available contents whose first copy is in a store.
///
/// The characters `:` and `;` are adjacent, and the column compares bytes.
fn in_store(shard: Shard, store: &str) -> Select<file::Entity> {
    shard
        .select()
        .filter(file::Column::Status.eq(AVAILABLE))
        .filter(file::Column::FileAddr.gte(format!("{store}:")))
        .filter(file::Column::FileAddr.lt(format!("{store};")))
}

/// Locks the row of a content until the transaction ends, and returns it.
pub(crate) async fn lock(
    transaction: &DatabaseTransaction,
    sha1: &Sha1,
) -> Result<Option<file::Model>> {
    let row = Shard::of(sha1)
        .select()
        .filter(file::Column::FileSha1.eq(sha1.to_string()))
        .lock_exclusive()
        .one(transaction)
        .await?;
    Ok(row)
}
