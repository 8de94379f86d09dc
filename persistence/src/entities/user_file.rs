//! The row of an owner's entry for a content.

use domain::{Owner, Sha1};
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
    /// The name in lower case, for searches by name.
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

/// Selects the entry of an owner for a content, in any state.
pub(crate) fn by_key(owner: &Owner, sha1: &Sha1) -> Select<Entity> {
    Entity::find()
        .filter(Column::Owner.eq(owner.as_str()))
        .filter(Column::FileSha1.eq(sha1.to_string()))
}
