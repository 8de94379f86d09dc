//! The row of a link to an owner's file.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "tbl_link")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) id: String,
    pub(crate) owner: String,
    pub(crate) file_sha1: String,
    pub(crate) disposition: i32,
    pub(crate) downloads: i64,
    pub(crate) max_downloads: Option<i64>,
    pub(crate) create_at: i64,
    pub(crate) expires_at: i64,
    /// The number of visits that `coverage` is about.
    pub(crate) visits: Option<i64>,
    /// How often each part of the file was given away.
    pub(crate) coverage: Option<Vec<u8>>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
