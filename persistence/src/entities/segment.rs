//! The row of a segment: an object with some of an upload's bytes.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "tbl_segment")]
pub(crate) struct Model {
    #[sea_orm(primary_key)]
    pub(crate) id: i64,
    pub(crate) upload_id: String,
    pub(crate) start: i64,
    pub(crate) size: i64,
    pub(crate) object_key: String,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {
    #[sea_orm(
        belongs_to = "super::staging::Entity",
        from = "Column::UploadId",
        to = "super::staging::Column::Id"
    )]
    Staging,
}

impl Related<super::staging::Entity> for Entity {
    fn to() -> RelationDef {
        Relation::Staging.def()
    }
}

impl ActiveModelBehavior for ActiveModel {}
