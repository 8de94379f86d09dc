//! The row of a claim.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "tbl_claim")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) id: String,
    pub(crate) owner: String,
    pub(crate) nonce: String,
    pub(crate) file_sha1: String,
    pub(crate) file_sha256: Option<String>,
    pub(crate) file_size: i64,
    pub(crate) file_name: String,
    pub(crate) content_type: String,
    pub(crate) status: i32,
    pub(crate) create_at: i64,
    pub(crate) expires_at: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
