//! Who does what is to be done once in the whole cluster.
//!
//! Clocks of machines differ, so a row tells no time. Whoever holds a lease raises its beat again
//! and again; whoever saw the same beat for long enough, by a clock of their own, takes it over,
//! guarded by what they saw.

use sea_orm::{
    ActiveValue::Set, ColumnTrait, EntityTrait, ExprTrait, QueryFilter, sea_query::Expr,
};

use crate::{database::Database, entities::lease, error::Result, transaction::attempt};

/// Whom a lease is held by that nobody holds.
const UNHELD: &str = "";

/// A lease, as its row has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// Who holds it, if anybody does.
    pub holder: Option<String>,
    /// What grows as long as somebody holds it, and whenever it changes hands.
    pub heartbeat: i64,
}

/// The leases, by name.
#[derive(Clone, Copy)]
pub struct Leases<'a>(&'a Database);

impl Database {
    /// The repository of leases.
    #[must_use]
    pub fn leases(&self) -> Leases<'_> {
        Leases(self)
    }
}

impl Leases<'_> {
    /// Finds a lease; `None` if nobody ever held it.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn find(&self, name: &str) -> Result<Option<Lease>> {
        let find = || lease::Entity::find_by_id(name).one(self.0.newest());
        let row = attempt(find).await?;
        Ok(row.map(|row| Lease {
            holder: Some(row.holder).filter(|holder| holder != UNHELD),
            heartbeat: row.beat,
        }))
    }

    /// Takes a lease, if it is still as it was seen; gives whether it was.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn take(&self, name: &str, holder: &str, seen: Option<&Lease>) -> Result<bool> {
        let Some(seen) = seen else {
            return self.insert(name, holder).await;
        };
        let seen_holder = seen.holder.as_deref().unwrap_or(UNHELD);
        let take = || {
            lease::Entity::update_many()
                .col_expr(lease::Column::Holder, Expr::val(holder))
                .col_expr(lease::Column::Beat, Expr::val(seen.heartbeat + 1))
                .filter(lease::Column::Name.eq(name))
                .filter(lease::Column::Holder.eq(seen_holder))
                .filter(lease::Column::Beat.eq(seen.heartbeat))
                .exec(self.0.writing())
        };
        Ok(attempt(take).await?.rows_affected == 1)
    }

    /// Takes a lease that has no row yet; somebody else may be faster.
    async fn insert(&self, name: &str, holder: &str) -> Result<bool> {
        let row = lease::ActiveModel {
            name: Set(name.to_owned()),
            holder: Set(holder.to_owned()),
            beat: Set(1),
        };
        let insert = || {
            lease::Entity::insert(row.clone())
                .on_conflict_do_nothing_on([lease::Column::Name])
                .exec_without_returning(self.0.writing())
        };
        attempt(insert).await?;
        let found = self.find(name).await?;
        Ok(found.is_some_and(|found| found.holder.as_deref() == Some(holder)))
    }

    /// Gives the sign of life of whoever holds a lease; gives whether they still do.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn heartbeat(&self, name: &str, holder: &str) -> Result<bool> {
        let next = || Expr::col(lease::Column::Beat).add(1);
        let heartbeat = || {
            lease::Entity::update_many()
                .col_expr(lease::Column::Beat, next())
                .filter(lease::Column::Name.eq(name))
                .filter(lease::Column::Holder.eq(holder))
                .exec(self.0.writing())
        };
        Ok(attempt(heartbeat).await?.rows_affected == 1)
    }

    /// Gives a lease up, if one holds it, so that the next who looks takes it.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn release(&self, name: &str, holder: &str) -> Result<()> {
        let next = || Expr::col(lease::Column::Beat).add(1);
        let release = || {
            lease::Entity::update_many()
                .col_expr(lease::Column::Holder, Expr::val(UNHELD))
                .col_expr(lease::Column::Beat, next())
                .filter(lease::Column::Name.eq(name))
                .filter(lease::Column::Holder.eq(holder))
                .exec(self.0.writing())
        };
        attempt(release).await.map(drop)
    }
}
