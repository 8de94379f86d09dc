//! One owner's entry for one content.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "tbl_user_file")]
pub(crate) struct Model {
    #[sea_orm(primary_key)]
    pub(crate) id: i64,
    pub(crate) owner: String,
    pub(crate) file_sha1: String,
    pub(crate) file_sha256: String,
    pub(crate) file_name: String,
    /// The name in lower case, which a search by name compares with.
    pub(crate) file_name_folded: String,
    pub(crate) file_size: i64,
    pub(crate) content_type: String,
    pub(crate) upload_at: i64,
    pub(crate) update_at: i64,
    pub(crate) status: i32,
    pub(crate) version: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
