//! The row of a resumable upload.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "tbl_upload")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) id: String,
    pub(crate) owner: String,
    pub(crate) protocol: i32,
    pub(crate) role: i32,
    pub(crate) status: i32,
    pub(crate) length: Option<i64>,
    /// The bytes received so far of an upload of unknown length, if there is a quota.
    pub(crate) held_bytes: Option<i64>,
    pub(crate) file_name: String,
    pub(crate) content_type: String,
    pub(crate) expected_sha1: Option<String>,
    pub(crate) expected_sha256: Option<String>,
    pub(crate) metadata: Option<String>,
    pub(crate) concat: Option<String>,
    pub(crate) file_sha1: Option<String>,
    pub(crate) create_at: i64,
    pub(crate) expires_at: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
