//! The row of a visit of a link with a limited number of downloads.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "tbl_visit")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) link_id: String,
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) visitor: String,
    /// The number of the visit among those of the link, from 1.
    pub(crate) number: i64,
    pub(crate) bytes: i64,
    pub(crate) used_at: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
