//! The row of an owner's usage and own quota.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "tbl_usage")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) owner: String,
    pub(crate) bytes: i64,
    pub(crate) files: i64,
    pub(crate) max_bytes: Option<i64>,
    pub(crate) max_files: Option<i64>,
    pub(crate) max_uploads: Option<i64>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
