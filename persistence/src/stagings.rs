//! What is staged of the uploads that can be resumed, in stores that are no local disk.
//!
//! An upload's bytes lie in objects, one after the other, and the row tells how many count. Who is
//! to add some takes the turn first: from then on nobody who had it before can change anything.

mod row;

use domain::RandomId;
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, ConnectionTrait, DatabaseTransaction, EntityTrait, ExprTrait, QueryFilter,
    QueryOrder, QuerySelect,
    sea_query::{Expr, OnConflict},
};

use self::row::{TABLE, from_hexadecimal, to_hexadecimal};
use crate::{
    database::Database,
    entities::{segment, staging},
    error::{Error, Result},
    row::{OrCorrupt as _, signed, unsigned},
    transaction::attempt,
};

/// What is staged of an upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Staging {
    /// The store that has the bytes.
    pub store: String,
    /// How many bytes count.
    pub bytes: u64,
    /// How often the turn was taken.
    pub epoch: i64,
    /// What the bytes that count came to, in the form of who computed it.
    pub hash_state: Option<Vec<u8>>,
    /// The objects that have the bytes, in the bytes' order.
    pub segments: Vec<Segment>,
}

/// An object that has some of an upload's bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// Where in the upload its first byte is.
    pub start: u64,
    /// How many bytes it has.
    pub size: u64,
    /// Its key in the store.
    pub key: String,
}

/// How an upload goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Advance {
    /// How many bytes count now.
    pub bytes: u64,
    /// What they came to; at most 512 bytes.
    pub hash_state: Vec<u8>,
    /// The objects that were added.
    pub added: Vec<Segment>,
    /// The starts of those that no longer count, which are taken away first.
    pub removed: Vec<u64>,
}

/// What is staged of the uploads that can be resumed.
#[derive(Clone, Copy)]
pub struct Stagings<'a>(&'a Database);

impl Database {
    /// The repository of resumable uploads' staged bytes.
    #[must_use]
    pub fn stagings(&self) -> Stagings<'_> {
        Stagings(self)
    }
}

impl Stagings<'_> {
    /// Finds how many bytes of an upload count, as it is now.
    ///
    /// One look-up by primary key.
    ///
    /// # Errors
    ///
    /// When the database fails, or the row cannot be read.
    pub async fn find_bytes(&self, id: RandomId) -> Result<Option<u64>> {
        let bytes = self.find_number(id, staging::Column::Bytes).await?;
        bytes.map(|number| unsigned(TABLE, number)).transpose()
    }

    /// Finds how often the turn to add to an upload was taken, as it is now.
    ///
    /// One look-up by primary key.
    ///
    /// # Errors
    ///
    /// When the database fails.
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

    /// Finds all that is known of what is staged of an upload, as it is now.
    ///
    /// # Errors
    ///
    /// When the database fails, or a row cannot be read.
    pub async fn find(&self, id: RandomId) -> Result<Option<Staging>> {
        let find = || find(self.0.newest(), id);
        attempt(find).await
    }

    /// Takes the turn to add to an upload, which begins with that in a store if it has not begun.
    ///
    /// Gives all that is known, which nobody else can change until the turn is taken again.
    ///
    /// # Errors
    ///
    /// When the database fails, or a row cannot be read.
    pub async fn take_over(&self, id: RandomId, store: &str) -> Result<Staging> {
        self.0
            .transact(|transaction| async move { take_over(&transaction, id, store).await })
            .await
    }

    /// Says how an upload went on, if nobody has taken the turn since.
    ///
    /// Gives whether nobody has; nothing is changed if somebody has, or the upload is gone.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn advance(&self, id: RandomId, epoch: i64, advance: &Advance) -> Result<bool> {
        self.0
            .transact(
                |transaction| async move { self::advance(&transaction, id, epoch, advance).await },
            )
            .await
    }

    /// Removes all that is known of what is staged of an upload.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn remove(&self, id: RandomId) -> Result<()> {
        self.0
            .transact(|transaction| async move {
                // In the order in which they are added, behind the lock on the first.
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

    /// Lists up to `limit` uploads of which something is staged, in the order of their ids, from
    /// after one on.
    ///
    /// # Errors
    ///
    /// When the database fails, or a row cannot be read.
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

    /// Lists the objects that have an upload's bytes, in the bytes' order, as they are now.
    ///
    /// # Errors
    ///
    /// When the database fails, or a row cannot be read.
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

    /// Tells whether an object is one of an upload's segments.
    ///
    /// # Errors
    ///
    /// When the database fails.
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

    /// Finds the store that an upload is staged in.
    ///
    /// # Errors
    ///
    /// When the database fails.
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

/// Reads the row and the segments in one statement, so that they go together.
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
    // Either way the row is locked until the transaction ends.
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
    taken.ok_or_else(|| Error::corrupt(TABLE, "it has no row of an upload whose turn was taken"))
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
