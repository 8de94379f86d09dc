//! The row of a transfer of a store's contents to another store.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "tbl_transfer")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) id: String,
    pub(crate) from_store: String,
    pub(crate) to_store: String,
    pub(crate) rate: Option<i64>,
    pub(crate) status: i32,
    pub(crate) pass: i32,
    pub(crate) found: i64,
    pub(crate) shard: i32,
    pub(crate) after_id: i64,
    pub(crate) total_files: i64,
    pub(crate) total_bytes: i64,
    pub(crate) copied_files: i64,
    pub(crate) copied_bytes: i64,
    pub(crate) paced_until: i64,
    pub(crate) planner: Option<String>,
    pub(crate) planned_until: i64,
    pub(crate) create_at: i64,
    pub(crate) update_at: i64,
    pub(crate) end_at: Option<i64>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
