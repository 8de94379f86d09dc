//! The indexes by which an owner's unfinished uploads are listed, and found by their content.

use sea_orm_migration::prelude::*;

use crate::dialect::{add_index, drop_index};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

const UPLOADS: &str = "tbl_upload";

const NEWEST: &str = "ix_upload_newest";

const BY_SHA1: &str = "ix_upload_owner_sha1";

const BY_SHA256: &str = "ix_upload_owner_sha256";

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let newest = ["owner", "status", "create_at", "id"];
        add_index(manager, UPLOADS, NEWEST, &newest).await?;
        add_index(manager, UPLOADS, BY_SHA1, &["owner", "expected_sha1"]).await?;
        add_index(manager, UPLOADS, BY_SHA256, &["owner", "expected_sha256"]).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        drop_index(manager, UPLOADS, BY_SHA256).await?;
        drop_index(manager, UPLOADS, BY_SHA1).await?;
        drop_index(manager, UPLOADS, NEWEST).await
    }
}
