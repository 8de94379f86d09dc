//! The staged bytes of resumable uploads in stores other than a local disk.
//!
//! The bytes of an upload are in consecutive objects, and the row holds the number of bytes that
//! count. A request that appends bytes takes the upload over first: it increases the epoch, and
//! from then on no request with an older epoch can change anything.

mod progress;
mod row;

use std::collections::HashMap;

use domain::RandomId;
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, ConnectionTrait, DatabaseTransaction, EntityTrait, ExprTrait, QueryFilter,
    QueryOrder, QuerySelect,
    sea_query::{Expr, OnConflict},
};

pub use self::progress::{Advance, Segment, Staging};
use self::row::{TABLE, from_hexadecimal, to_hexadecimal};
use crate::{
    boxed,
    database::Database,
    entities::{segment, staging},
    error::{Error, Result},
    row::{OrCorrupt as _, signed, unsigned},
    transaction::attempt,
};

/// The repository of the staged bytes of resumable uploads.
#[derive(Clone, Copy)]
pub struct Stagings<'a>(&'a Database);

impl Database {
    /// The repository of the staged bytes of resumable uploads.
    #[must_use]
    pub fn stagings(&self) -> Stagings<'_> {
        Stagings(self)
    }
}

impl Stagings<'_> {
    /// Finds the number of bytes of an upload that count. Reads from the primary.
    ///
    /// One lookup by primary key.
    ///
    /// # Errors
    ///
    /// When the database fails, or the row cannot be read.
    #[boxed]
    pub async fn find_bytes(&self, id: RandomId) -> Result<Option<u64>> {
        let bytes = self.find_number(id, staging::Column::Bytes).await?;
        bytes.map(|number| unsigned(TABLE, number)).transpose()
    }

    /// Finds the numbers of bytes of several uploads that count; uploads without staged bytes are left
    /// out. Reads from the primary.
    ///
    /// # Errors
    ///
    /// When the database fails, or a row cannot be read.
    #[boxed]
    pub async fn find_bytes_of(&self, ids: &[RandomId]) -> Result<HashMap<RandomId, u64>> {
        let find = || {
            staging::Entity::find()
                .select_only()
                .columns([staging::Column::Id, staging::Column::Bytes])
                .filter(staging::Column::Id.is_in(ids.iter().map(RandomId::to_string)))
                .into_tuple::<(String, i64)>()
                .all(self.0.newest())
        };
        let rows = attempt(find).await?;
        let known = |(id, bytes): (String, i64)| {
            Ok((id.parse().or_corrupt(TABLE)?, unsigned(TABLE, bytes)?))
        };
        rows.into_iter().map(known).collect()
    }

    /// Finds the epoch of an upload. Reads from the primary.
    ///
    /// One lookup by primary key.
    ///
    /// # Errors
    ///
    /// When the database fails.
    #[boxed]
    pub async fn current_epoch(&self, id: RandomId) -> Result<Option<i64>> {
        self.find_number(id, staging::Column::Turn).await
    }

    async fn find_number(&self, id: RandomId, column: staging::Column) -> Result<Option<i64>> {
        let find = || {
            staging::Entity::find_by_id(id.to_string())
                .select_only()
                .column(column)
                .into_tuple::<i64>()
                .one(self.0.newest())
        };
        attempt(find).await
    }

    /// Finds the staged bytes of an upload. Reads from the primary.
    ///
    /// # Errors
    ///
    /// When the database fails, or a row cannot be read.
    #[boxed]
    pub async fn find(&self, id: RandomId) -> Result<Option<Staging>> {
        let find = || find(self.0.newest(), id);
        attempt(find).await
    }

    /// Takes an upload over to append to it; starts its staging in the given store if it has none.
    ///
    /// Returns the staged bytes, which no other request can change until it takes the upload over.
    ///
    /// # Errors
    ///
    /// When the database fails, or a row cannot be read.
    #[boxed]
    pub async fn take_over(&self, id: RandomId, store: &str) -> Result<Staging> {
        self.0
            .transact(|transaction| async move { take_over(&transaction, id, store).await })
            .await
    }

    /// Records the progress of an upload if `epoch` is still current; returns whether it is.
    /// Changes nothing if another request has taken the upload over, or the upload was removed.
    ///
    /// # Errors
    ///
    /// When the database fails.
    #[boxed]
    pub async fn advance(&self, id: RandomId, epoch: i64, advance: &Advance) -> Result<bool> {
        self.0
            .transact(
                |transaction| async move { self::advance(&transaction, id, epoch, advance).await },
            )
            .await
    }

    /// Removes the rows of an upload's staged bytes.
    ///
    /// # Errors
    ///
    /// When the database fails.
    #[boxed]
    pub async fn remove(&self, id: RandomId) -> Result<()> {
        self.0
            .transact(|transaction| async move {
                // In the order in which they are added, after the lock on the first.
                staging::Entity::delete_by_id(id.to_string())
                    .exec(&*transaction)
                    .await?;
                segment::Entity::delete_many()
                    .filter(segment::Column::UploadId.eq(id.to_string()))
                    .exec(&*transaction)
                    .await?;
                Ok(())
            })
            .await
    }

    /// Lists up to `limit` ids of uploads with staged bytes, in order, from the first one after
    /// `after`.
    ///
    /// # Errors
    ///
    /// When the database fails, or a row cannot be read.
    #[boxed]
    pub async fn list(&self, after: Option<RandomId>, limit: u64) -> Result<Vec<RandomId>> {
        let after = after.map(|id| id.to_string()).unwrap_or_default();
        let list = || {
            staging::Entity::find()
                .select_only()
                .column(staging::Column::Id)
                .filter(staging::Column::Id.gt(&after))
                .order_by_asc(staging::Column::Id)
                .limit(limit)
                .into_tuple::<String>()
                .all(self.0.newest())
        };
        let ids = attempt(list).await?;
        ids.iter().map(|id| id.parse().or_corrupt(TABLE)).collect()
    }

    /// Lists the objects with an upload's bytes, in the order of the bytes. Reads from the primary.
    ///
    /// # Errors
    ///
    /// When the database fails, or a row cannot be read.
    #[boxed]
    pub async fn segments(&self, id: RandomId) -> Result<Vec<Segment>> {
        let list = || {
            segment::Entity::find()
                .filter(segment::Column::UploadId.eq(id.to_string()))
                .order_by_asc(segment::Column::Start)
                .all(self.0.newest())
        };
        let rows = attempt(list).await?;
        rows.into_iter().map(TryInto::try_into).collect()
    }

    /// Reports whether an object is one of an upload's segments.
    ///
    /// # Errors
    ///
    /// When the database fails.
    #[boxed]
    pub async fn has_segment(&self, id: RandomId, key: &str) -> Result<bool> {
        let find = || {
            segment::Entity::find()
                .select_only()
                .column(segment::Column::Id)
                .filter(segment::Column::UploadId.eq(id.to_string()))
                .filter(segment::Column::ObjectKey.eq(key))
                .into_tuple::<i64>()
                .one(self.0.newest())
        };
        Ok(attempt(find).await?.is_some())
    }

    /// Finds the store of an upload's staged bytes.
    ///
    /// # Errors
    ///
    /// When the database fails.
    #[boxed]
    pub async fn find_store(&self, id: RandomId) -> Result<Option<String>> {
        let find = || {
            staging::Entity::find_by_id(id.to_string())
                .select_only()
                .column(staging::Column::Store)
                .into_tuple::<String>()
                .one(self.0.newest())
        };
        attempt(find).await
    }
}

/// Reads the row and the segments in one statement, so that they are consistent.
async fn find(connection: &impl ConnectionTrait, id: RandomId) -> Result<Option<Staging>> {
    let found = staging::Entity::find_by_id(id.to_string())
        .find_with_related(segment::Entity)
        .order_by_asc(segment::Column::Start)
        .all(connection)
        .await?;
    let found = found.into_iter().next();
    found
        .map(|(row, segments)| {
            let segments: Result<Vec<_>> = segments.into_iter().map(TryInto::try_into).collect();
            Ok(Staging {
                store: row.store,
                bytes: unsigned(TABLE, row.bytes)?,
                epoch: row.turn,
                hash_state: row
                    .hash_state
                    .as_deref()
                    .map(from_hexadecimal)
                    .transpose()?,
                segments: segments?,
            })
        })
        .transpose()
}

async fn take_over(
    transaction: &DatabaseTransaction,
    id: RandomId,
    store: &str,
) -> Result<Staging> {
    let row = staging::ActiveModel {
        id: Set(id.to_string()),
        store: Set(store.to_owned()),
        bytes: Set(0),
        hash_state: Set(None),
        turn: Set(1),
    };
    // The insert and the update both lock the row until the transaction ends.
    let next = OnConflict::column(staging::Column::Id)
        .value(
            staging::Column::Turn,
            Expr::col((staging::Entity, staging::Column::Turn)).add(1),
        )
        .to_owned();
    staging::Entity::insert(row)
        .on_conflict(next)
        .exec_without_returning(transaction)
        .await?;
    let taken = find(transaction, id).await?;
    taken.ok_or_else(|| Error::corrupt(TABLE, "an upload that was taken over has no row"))
}

async fn advance(
    transaction: &DatabaseTransaction,
    id: RandomId,
    epoch: i64,
    advance: &Advance,
) -> Result<bool> {
    let done = staging::Entity::update_many()
        .col_expr(
            staging::Column::Bytes,
            Expr::val(signed(TABLE, advance.bytes)?),
        )
        .col_expr(
            staging::Column::HashState,
            Expr::val(to_hexadecimal(&advance.hash_state)),
        )
        .filter(staging::Column::Id.eq(id.to_string()))
        .filter(staging::Column::Turn.eq(epoch))
        .exec(transaction)
        .await?;
    if done.rows_affected == 0 {
        return Ok(false);
    }
    if !advance.removed.is_empty() {
        let starts: Result<Vec<i64>> = advance
            .removed
            .iter()
            .copied()
            .map(|number| signed(TABLE, number))
            .collect();
        segment::Entity::delete_many()
            .filter(segment::Column::UploadId.eq(id.to_string()))
            .filter(segment::Column::Start.is_in(starts?))
            .exec(transaction)
            .await?;
    }
    let added: Result<Vec<_>> = advance
        .added
        .iter()
        .map(|segment| {
            Ok(segment::ActiveModel {
                upload_id: Set(id.to_string()),
                start: Set(signed(TABLE, segment.start)?),
                size: Set(signed(TABLE, segment.size)?),
                object_key: Set(segment.key.clone()),
                ..Default::default()
            })
        })
        .collect();
    segment::Entity::insert_many(added?)
        .exec_without_returning(transaction)
        .await?;
    Ok(true)
}
