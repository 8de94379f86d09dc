//! Identities: which disk each store must be.

use domain::RandomId;
use sea_orm::{ActiveValue::Set, EntityTrait};

use crate::{
    boxed, database::Database, entities::store, error::Result, row::OrCorrupt as _,
    transaction::attempt,
};

/// The table whose rows this file reads and writes.
const TABLE: &str = "tbl_store";

/// The repository of store identities, by the store's name.
#[derive(Clone, Copy)]
pub struct Identities<'a>(&'a Database);

impl Database {
    /// The repository of store identities.
    #[must_use]
    pub fn identities(&self) -> Identities<'_> {
        Identities(self)
    }
}

impl Identities<'_> {
    /// Finds a store's identity; `None` if it has none yet.
    ///
    /// # Errors
    ///
    /// When the database fails, or the row cannot be read.
    #[boxed]
    pub async fn find(&self, name: &str) -> Result<Option<RandomId>> {
        let find = || store::Entity::find_by_id(name).one(self.0.newest());
        let row = attempt(find).await?;
        row.map(|row| row.identity.parse())
            .transpose()
            .or_corrupt(TABLE)
    }

    /// Assigns an identity to a store that has none; returns the identity that the store has
    /// afterwards.
    ///
    /// # Errors
    ///
    /// When the database fails.
    #[boxed]
    pub async fn assign(&self, name: &str, identity: RandomId) -> Result<RandomId> {
        let row = store::ActiveModel {
            name: Set(name.to_owned()),
            identity: Set(identity.to_string()),
        };
        let insert = || {
            store::Entity::insert(row.clone())
                .on_conflict_do_nothing_on([store::Column::Name])
                .exec_without_returning(self.0.writing())
        };
        attempt(insert).await?;
        Ok(self.find(name).await?.unwrap_or(identity))
    }
}
