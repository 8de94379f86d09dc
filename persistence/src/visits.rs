//! Visits: the bytes that a visitor may get by a link with a limited number of downloads.
//!
//! The first download that is counted for a visitor allows less than two copies of the file, each
//! further one allows one copy more. So a visitor gets as many whole copies as were counted, and a
//! download that goes on after a break, or begins with a probe, is counted once.

use domain::{Link, Visitor};
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, DatabaseTransaction, EntityTrait, ExprTrait, QueryFilter, QuerySelect, UpdateMany,
    sea_query::{Expr, OnConflict},
};

use crate::{
    entities::{link, visit},
    error::Result,
    links::Links,
    row::OrCorrupt as _,
    transaction::attempt,
};

/// The table whose rows this file reads and writes.
const TABLE: &str = "tbl_visit";

/// A visitor of a link.
#[derive(Debug, Clone)]
pub struct Visit {
    /// The link.
    pub link: Link,
    /// The visitor.
    pub visitor: Visitor,
}

impl Links<'_> {
    /// Returns whether a visitor may still get `least` bytes for the downloads that were counted.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn has_bytes_left(&self, visit: &Visit, least: u64) -> Result<bool> {
        let key = (visit.link.id.to_string(), visit.visitor.to_string());
        let find = || visit::Entity::find_by_id(key.clone()).one(self.database().newest());
        let found = attempt(find).await?;
        let least = i64::try_from(Ord::max(least, 1)).or_corrupt(TABLE)?;
        Ok(found.is_some_and(|row| row.bytes_left >= least))
    }

    /// Takes bytes of a file of `size` bytes for a visitor; counts a download if those of the visitor's
    /// earlier downloads do not suffice. Returns whether the visitor may get them.
    ///
    /// Nobody may take more bytes at once than the file has.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn take_bytes(&self, visit: &Visit, bytes: u64, size: u64) -> Result<bool> {
        // An empty file counts as one byte, so that its downloads are counted.
        let [bytes, size] = [bytes, size].map(|count| i64::try_from(Ord::max(count, 1)));
        let (bytes, size) = (bytes.or_corrupt(TABLE)?, size.or_corrupt(TABLE)?);
        let database = self.database();
        let take = || change(visit, -bytes).exec(database.writing());
        if attempt(take).await?.rows_affected == 1 {
            return Ok(true);
        }
        database
            .transact(|transaction| async move { count(&transaction, visit, bytes, size).await })
            .await
    }

    /// Gives a visitor back bytes that were taken and not sent.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn give_back(&self, visit: &Visit, bytes: u64) -> Result<()> {
        let bytes = i64::try_from(bytes).or_corrupt(TABLE)?;
        let give = || change(visit, bytes).exec(self.database().writing());
        attempt(give).await.map(drop)
    }
}

/// Adds to what is left, unless less than nothing would be.
fn change(visit: &Visit, more: i64) -> UpdateMany<visit::Entity> {
    visit::Entity::update_many()
        .col_expr(
            visit::Column::BytesLeft,
            Expr::col(visit::Column::BytesLeft).add(more),
        )
        .filter(visit::Column::LinkId.eq(visit.link.id.to_string()))
        .filter(visit::Column::Visitor.eq(visit.visitor.to_string()))
        .filter(visit::Column::BytesLeft.gte(-more))
}

/// Counts a download, if one is left, and takes the bytes of it.
async fn count(
    transaction: &DatabaseTransaction,
    visit: &Visit,
    bytes: i64,
    size: i64,
) -> Result<bool> {
    let by_id = link::Entity::find_by_id(visit.link.id.to_string());
    let Some(row) = by_id.lock_exclusive().one(transaction).await? else {
        return Ok(false);
    };
    // Another request of the visitor may have counted a download a moment ago.
    let taken = change(visit, -bytes).exec(transaction).await?;
    if taken.rows_affected == 1 {
        return Ok(true);
    }
    if row.max_downloads.is_some_and(|max| row.downloads >= max) {
        return Ok(false);
    }
    link::Entity::update_many()
        .col_expr(link::Column::Downloads, Expr::val(row.downloads + 1))
        .filter(link::Column::Id.eq(&row.id))
        .exec(transaction)
        .await?;
    let row = visit::ActiveModel {
        link_id: Set(visit.link.id.to_string()),
        visitor: Set(visit.visitor.to_string()),
        bytes_left: Set(size.saturating_mul(2) - 1 - bytes),
        expires_at: Set(visit.link.expires_at.microseconds()),
    };
    let left = Expr::col((visit::Entity, visit::Column::BytesLeft));
    let more = OnConflict::columns([visit::Column::LinkId, visit::Column::Visitor])
        .value(visit::Column::BytesLeft, left.add(size - bytes))
        .to_owned();
    visit::Entity::insert(row)
        .on_conflict(more)
        .exec_without_returning(transaction)
        .await?;
    Ok(true)
}
