//! The row of a visitor of a link with a limited number of downloads.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "tbl_visit")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) link_id: String,
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) visitor: String,
    /// The bytes that the visitor may still get for the downloads that were counted.
    pub(crate) bytes_left: i64,
    /// The expiry of the link.
    pub(crate) expires_at: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
