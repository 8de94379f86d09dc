//! The row of a distinct content, in the shard of its SHA-1.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "file")]
pub(crate) struct Model {
    #[sea_orm(primary_key)]
    pub(crate) id: i64,
    pub(crate) file_sha1: String,
    pub(crate) file_sha256: String,
    pub(crate) file_name: String,
    pub(crate) file_size: i64,
    pub(crate) file_addr: String,
    pub(crate) create_at: i64,
    pub(crate) update_at: i64,
    pub(crate) status: i32,
    /// The CRC-32 of the content if it is one block, or else of the checksums of its blocks.
    pub(crate) ext1: Option<i32>,
    /// The address of the second copy.
    pub(crate) ext2: Option<String>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
