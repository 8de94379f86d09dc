//! Shards: the table that holds the row of a content.
//!
//! Only this file knows the names of the tables. The entity's own table name belongs to no table,
//! and each shard's table takes it as an alias: a statement without a shard fails instead of
//! reading the wrong table.

use domain::Sha1;
use sea_orm::{
    ActiveModelTrait, EntityTrait, Insert, QueryTrait, Select,
    sea_query::{Alias, DeleteStatement, IntoIden, Query, UpdateStatement},
};

use crate::entities::file;

/// One of the 256 tables of contents; the last byte of a content's SHA-1 selects it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Shard(u8);

impl Shard {
    /// The shard of a content.
    #[must_use]
    pub fn of(sha1: &Sha1) -> Self {
        Self(sha1.as_bytes()[Sha1::SIZE - 1])
    }

    /// The shard of the contents whose SHA-1 ends in this byte.
    #[must_use]
    pub fn of_last_byte(last_byte: u8) -> Self {
        Self(last_byte)
    }

    /// All shards, in order.
    pub fn all() -> impl ExactSizeIterator<Item = Self> {
        (0..=u8::MAX).collect::<Vec<_>>().into_iter().map(Self)
    }

    fn table(self) -> Alias {
        Alias::new(format!("tbl_{:02x}", self.0))
    }

    pub(crate) fn select(self) -> Select<file::Entity> {
        let mut select = file::Entity::find();
        QueryTrait::query(&mut select)
            .from_clear()
            .from_as(self.table(), file::Entity.into_iden());
        select
    }

    pub(crate) fn insert<A>(self, row: A) -> Insert<A>
    where
        A: ActiveModelTrait<Entity = file::Entity>,
    {
        let mut insert = Insert::one(row);
        QueryTrait::query(&mut insert).into_table(self.table());
        insert
    }

    pub(crate) fn update(self) -> UpdateStatement {
        Query::update().table(self.table()).take()
    }

    pub(crate) fn delete(self) -> DeleteStatement {
        Query::delete().from_table(self.table()).take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sea_orm::DbBackend;

    #[test]
    fn the_last_two_digits_select_the_table() {
        let sha1 = "a9993e364706816aba3e25717850c26c9cd0d83f".parse().unwrap();
        let select = Shard::of(&sha1).select().build(DbBackend::Postgres);
        assert!(
            select.sql.ends_with(r#"FROM "tbl_3f" AS "file""#),
            "{}",
            select.sql
        );
        assert_eq!(Shard::all().len(), 256);
    }
}
