//! Leases: rights that one process of the cluster has at a time.
//!
//! The clocks of machines differ, so a row holds no time. The holder of a lease increases its
//! heartbeat periodically; a process that sees the same heartbeat for long enough, by its own
//! clock, takes the lease over, guarded by the heartbeat that it saw.

use sea_orm::{
    ActiveValue::Set, ColumnTrait, EntityTrait, ExprTrait, QueryFilter, sea_query::Expr,
};

use crate::{boxed, database::Database, entities::lease, error::Result, transaction::attempt};

/// The holder in the row of a lease that no process holds.
const UNHELD: &str = "";

/// The state of a lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// The holder, if there is one.
    pub holder: Option<String>,
    /// A counter that increases while the lease is held, and whenever it changes hands.
    pub heartbeat: i64,
}

/// The repository of leases, by name.
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
    /// Finds a lease; `None` if no process has ever held it.
    ///
    /// # Errors
    ///
    /// When the database fails.
    #[boxed]
    pub async fn find(&self, name: &str) -> Result<Option<Lease>> {
        let find = || lease::Entity::find_by_id(name).one(self.0.newest());
        let row = attempt(find).await?;
        Ok(row.map(|row| Lease {
            holder: Some(row.holder).filter(|holder| holder != UNHELD),
            heartbeat: row.beat,
        }))
    }

    /// Takes a lease if its state is still the one that was seen; returns whether it was.
    ///
    /// # Errors
    ///
    /// When the database fails.
    #[boxed]
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

    /// Takes a lease that has no row yet, unless another process inserts the row first.
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

    /// Sends the heartbeat of a lease's holder; returns whether the process still holds the lease.
    ///
    /// # Errors
    ///
    /// When the database fails.
    #[boxed]
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

    /// Releases a lease if the process holds it, so that another process can take it at once.
    ///
    /// # Errors
    ///
    /// When the database fails.
    #[boxed]
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
