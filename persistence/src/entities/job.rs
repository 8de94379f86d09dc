//! The row of a job: a copy to make.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "tbl_job")]
pub(crate) struct Model {
    #[sea_orm(primary_key)]
    pub(crate) id: i64,
    pub(crate) file_sha1: String,
    pub(crate) from_store: String,
    pub(crate) to_store: String,
    pub(crate) keeps: i32,
    pub(crate) transfer_id: Option<String>,
    pub(crate) file_size: i64,
    pub(crate) status: i32,
    pub(crate) attempts: i32,
    pub(crate) due_at: i64,
    pub(crate) holder: Option<String>,
    pub(crate) error: Option<String>,
    pub(crate) create_at: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
