//! Visits: downloads through links with a limited number of downloads.
//!
//! The row of the link is locked while a request is charged, so requests through one link are charged
//! one after the other, by whatever process.

use domain::{ByteRange, Coverage, RandomId, Timestamp, Visit};
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, DatabaseTransaction, EntityTrait, ExprTrait, QueryFilter, QueryOrder, QuerySelect,
    sea_query::{Expr, LockType, OnConflict},
};

use crate::{
    boxed,
    database::Database,
    entities::{link, visit},
    error::Result,
    row::{OrCorrupt as _, signed, unsigned},
    transaction::attempt,
};

/// The tables whose rows this file reads and writes.
const LINKS: &str = "tbl_link";
const TABLE: &str = "tbl_visit";

/// A request for bytes through a link with a limited number of downloads.
#[derive(Debug, Clone, Copy)]
pub struct Charge<'a> {
    /// The link.
    pub link: RandomId,
    /// Who asks.
    pub visitor: RandomId,
    /// The bytes that are asked for, without overlaps.
    pub ranges: &'a [ByteRange],
    /// The size of the file.
    pub size: u64,
    /// Whether the request proves that it continues a download (`If-Range`), from any address.
    pub continues: bool,
    /// The time after which a visit must have been used last to be continued.
    pub since: Timestamp,
    /// The current time.
    pub now: Timestamp,
}

/// The repository of visits.
#[derive(Clone, Copy)]
pub struct Visits<'a>(&'a Database);

impl Database {
    /// The repository of visits.
    #[must_use]
    pub fn visits(&self) -> Visits<'_> {
        Visits(self)
    }
}

impl Visits<'_> {
    /// Charges a request to a visit that it continues, or else to a new one, which counts as a
    /// download; `None` if the link has none left.
    ///
    /// # Errors
    ///
    /// When the database fails, or a row cannot be read.
    #[boxed]
    pub async fn charge(&self, charge: &Charge<'_>) -> Result<Option<Visit>> {
        self.0
            .transact(|transaction| async move {
                let Some(link) = lock(&transaction, charge.link).await? else {
                    return Ok(None);
                };
                let coverage = coverage_after(&link, charge)?;
                let visits = counted(&link)?;
                let visit = if coverage.copies() <= visits {
                    continued(&transaction, charge).await?
                } else {
                    None
                };
                let (downloads, visit) = match visit {
                    Some(visit) => (link.downloads, visit),
                    None if link.max_downloads.is_some_and(|max| link.downloads >= max) => {
                        return Ok(None);
                    }
                    None => {
                        let visit = begin(&transaction, charge, visits + 1).await?;
                        (link.downloads + 1, visit)
                    }
                };
                let visits = Ord::max(visits, visit.number);
                link::Entity::update_many()
                    .col_expr(link::Column::Downloads, Expr::val(downloads))
                    .col_expr(link::Column::Visits, Expr::val(signed(LINKS, visits)?))
                    .col_expr(link::Column::Coverage, Expr::val(coverage.to_bytes()))
                    .filter(link::Column::Id.eq(link.id))
                    .exec(&*transaction)
                    .await?;
                Ok(Some(visit))
            })
            .await
    }

    /// Returns whether [`Visits::charge`] would continue a visit of the visitor.
    ///
    /// # Errors
    ///
    /// When the database fails, or a row cannot be read.
    #[boxed]
    pub async fn would_continue(&self, charge: &Charge<'_>) -> Result<bool> {
        let find = || link::Entity::find_by_id(charge.link.to_string()).one(self.0.newest());
        let Some(link) = attempt(find).await? else {
            return Ok(false);
        };
        let coverage = coverage_after(&link, charge)?;
        let own = || own(charge).one(self.0.newest());
        Ok(coverage.copies() <= counted(&link)? && attempt(own).await?.is_some())
    }

    /// Corrects a visit whose bytes were not all sent: the range was charged, and its first `given`
    /// bytes were given away.
    ///
    /// # Errors
    ///
    /// When the database fails, or a row cannot be read.
    #[boxed]
    pub async fn give_back(
        &self,
        visit: &Visit,
        (range, given): (ByteRange, u64),
        size: u64,
        now: Timestamp,
    ) -> Result<()> {
        let number = signed(TABLE, visit.number)?;
        let unsent = signed(TABLE, range.length().saturating_sub(given))?;
        self.0
            .transact(|transaction| async move {
                let Some(link) = lock(&transaction, visit.link).await? else {
                    return Ok(());
                };
                if unsent > 0 {
                    let mut coverage = coverage(&link, size)?;
                    coverage.take_back(range, given);
                    link::Entity::update_many()
                        .col_expr(link::Column::Coverage, Expr::val(coverage.to_bytes()))
                        .filter(link::Column::Id.eq(link.id))
                        .exec(&*transaction)
                        .await?;
                }
                visit::Entity::update_many()
                    .col_expr(
                        visit::Column::Bytes,
                        Expr::col(visit::Column::Bytes).sub(unsent),
                    )
                    .col_expr(visit::Column::UsedAt, Expr::val(now.microseconds()))
                    .filter(visit::Column::LinkId.eq(visit.link.to_string()))
                    .filter(visit::Column::Visitor.eq(visit.visitor.to_string()))
                    .filter(visit::Column::Number.eq(number))
                    .exec(&*transaction)
                    .await?;
                Ok(())
            })
            .await
    }

    /// Removes the visits that were used last before a given time.
    ///
    /// # Errors
    ///
    /// When the database fails.
    #[boxed]
    pub async fn remove_unused(&self, before: Timestamp) -> Result<()> {
        let remove = || {
            visit::Entity::delete_many()
                .filter(visit::Column::UsedAt.lt(before.microseconds()))
                .exec(self.0.writing())
        };
        attempt(remove).await.map(drop)
    }
}

/// Locks the row of a link.
async fn lock(transaction: &DatabaseTransaction, id: RandomId) -> Result<Option<link::Model>> {
    let find = link::Entity::find_by_id(id.to_string()).lock(LockType::Update);
    Ok(find.one(transaction).await?)
}

/// What the counted visits of a link gave away.
fn coverage(link: &link::Model, size: u64) -> Result<Coverage> {
    match &link.coverage {
        None => Ok(Coverage::none(size)),
        Some(bytes) => Coverage::from_bytes(size, bytes)
            .ok_or("the coverage does not fit the file")
            .or_corrupt(LINKS),
    }
}

/// What they will have given away after a request.
fn coverage_after(link: &link::Model, charge: &Charge<'_>) -> Result<Coverage> {
    let mut coverage = coverage(link, charge.size)?;
    for range in charge.ranges {
        coverage.add(*range);
    }
    Ok(coverage)
}

/// The number of visits that the coverage of a link is about.
fn counted(link: &link::Model) -> Result<u64> {
    unsigned(LINKS, link.visits.unwrap_or_default())
}

/// Charges a request to a visit that it continues, if there is one.
async fn continued(
    transaction: &DatabaseTransaction,
    charge: &Charge<'_>,
) -> Result<Option<Visit>> {
    let found = match own(charge).one(transaction).await? {
        None if charge.continues => usable(charge).one(transaction).await?,
        own => own,
    };
    let Some(found) = found else {
        return Ok(None);
    };
    let visit = Visit {
        link: charge.link,
        visitor: found.visitor.parse().or_corrupt(TABLE)?,
        number: unsigned(TABLE, found.number)?,
    };
    visit::Entity::update_many()
        .col_expr(
            visit::Column::Bytes,
            Expr::val(found.bytes.saturating_add(length(charge))),
        )
        .col_expr(visit::Column::UsedAt, Expr::val(charge.now.microseconds()))
        .filter(visit::Column::LinkId.eq(found.link_id))
        .filter(visit::Column::Visitor.eq(found.visitor))
        .exec(transaction)
        .await?;
    Ok(Some(visit))
}

/// Begins a visit, in place of an older one of the visitor.
async fn begin(
    transaction: &DatabaseTransaction,
    charge: &Charge<'_>,
    number: u64,
) -> Result<Visit> {
    let row = visit::ActiveModel {
        link_id: Set(charge.link.to_string()),
        visitor: Set(charge.visitor.to_string()),
        number: Set(signed(TABLE, number)?),
        bytes: Set(length(charge)),
        used_at: Set(charge.now.microseconds()),
    };
    let replace = OnConflict::columns([visit::Column::LinkId, visit::Column::Visitor])
        .update_columns([
            visit::Column::Number,
            visit::Column::Bytes,
            visit::Column::UsedAt,
        ])
        .to_owned();
    visit::Entity::insert(row)
        .on_conflict(replace)
        .exec_without_returning(transaction)
        .await?;
    Ok(Visit {
        link: charge.link,
        visitor: charge.visitor,
        number,
    })
}

/// The visit of the visitor, if the request can continue it.
fn own(charge: &Charge<'_>) -> sea_orm::Select<visit::Entity> {
    usable(charge).filter(visit::Column::Visitor.eq(charge.visitor.to_string()))
}

/// The visits that the request can continue: all of its bytes and those that were given before are
/// fewer than those of two copies.
fn usable(charge: &Charge<'_>) -> sea_orm::Select<visit::Entity> {
    let two = i64::try_from(charge.size.saturating_mul(2)).unwrap_or(i64::MAX);
    visit::Entity::find()
        .filter(visit::Column::LinkId.eq(charge.link.to_string()))
        .filter(visit::Column::UsedAt.gt(charge.since.microseconds()))
        .filter(visit::Column::Bytes.lt(two.saturating_sub(length(charge))))
        .order_by_desc(visit::Column::UsedAt)
        .limit(1)
}

/// The number of bytes that are asked for.
fn length(charge: &Charge<'_>) -> i64 {
    let length = charge
        .ranges
        .iter()
        .map(|range| range.length())
        .sum::<u64>();
    i64::try_from(length).unwrap_or(i64::MAX)
}
