//! The uploads that can be resumed, and the claims on contents.

use sea_orm_migration::prelude::*;

use crate::dialect::{Dialect, create_table, optional, random_id, required};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

/// Columns of `tbl_upload`.
#[derive(DeriveIden)]
enum Upload {
    #[sea_orm(iden = "tbl_upload")]
    Table,
    Id,
    Owner,
    Protocol,
    Role,
    Status,
    Length,
    FileName,
    ContentType,
    ExpectedSha1,
    ExpectedSha256,
    Metadata,
    Concat,
    FileSha1,
    CreateAt,
    ExpiresAt,
}

/// Columns of `tbl_claim`.
#[derive(DeriveIden)]
enum Claim {
    #[sea_orm(iden = "tbl_claim")]
    Table,
    Id,
    Owner,
    Nonce,
    FileSha1,
    FileSha256,
    FileSize,
    FileName,
    ContentType,
    Status,
    CreateAt,
    ExpiresAt,
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let dialect = Dialect(manager.get_database_backend());
        create_table(manager, upload_table(dialect), upload_indexes()).await?;
        create_table(manager, claim_table(dialect), claim_indexes()).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in ["tbl_claim", "tbl_upload"] {
            let drop = Table::drop().table(Alias::new(table)).if_exists().take();
            manager.drop_table(drop).await?;
        }
        Ok(())
    }
}

fn upload_table(dialect: Dialect) -> TableCreateStatement {
    Table::create()
        .table(Upload::Table)
        .if_not_exists()
        .col(random_id(Upload::Id, dialect))
        .col(required(Upload::Owner, dialect.text(255)))
        .col(required(Upload::Protocol, ColumnType::Integer))
        .col(required(Upload::Role, ColumnType::Integer))
        .col(required(Upload::Status, ColumnType::Integer))
        .col(optional(Upload::Length, ColumnType::BigInteger))
        .col(required(Upload::FileName, dialect.text(256)))
        .col(required(Upload::ContentType, dialect.text(255)))
        .col(optional(Upload::ExpectedSha1, dialect.hexadecimal(40)))
        .col(optional(Upload::ExpectedSha256, dialect.hexadecimal(64)))
        .col(optional(Upload::Metadata, dialect.long_text()))
        .col(optional(Upload::Concat, dialect.long_text()))
        .col(optional(Upload::FileSha1, dialect.hexadecimal(40)))
        .col(required(Upload::CreateAt, ColumnType::BigInteger))
        .col(required(Upload::ExpiresAt, ColumnType::BigInteger))
        .take()
}

/// One tells what an owner has begun, the other which uploads are over.
fn upload_indexes() -> Vec<IndexCreateStatement> {
    let by_owner = Index::create()
        .name("ix_upload_owner_role")
        .table(Upload::Table)
        .col(Upload::Owner)
        .col(Upload::Role)
        .take();
    let expired = Index::create()
        .name("ix_upload_expires_at")
        .table(Upload::Table)
        .col(Upload::ExpiresAt)
        .take();
    vec![by_owner, expired]
}

fn claim_table(dialect: Dialect) -> TableCreateStatement {
    Table::create()
        .table(Claim::Table)
        .if_not_exists()
        .col(random_id(Claim::Id, dialect))
        .col(required(Claim::Owner, dialect.text(255)))
        .col(required(Claim::Nonce, dialect.hexadecimal(64)))
        .col(required(Claim::FileSha1, dialect.hexadecimal(40)))
        .col(optional(Claim::FileSha256, dialect.hexadecimal(64)))
        .col(required(Claim::FileSize, ColumnType::BigInteger))
        .col(required(Claim::FileName, dialect.text(256)))
        .col(required(Claim::ContentType, dialect.text(255)))
        .col(required(Claim::Status, ColumnType::Integer))
        .col(required(Claim::CreateAt, ColumnType::BigInteger))
        .col(required(Claim::ExpiresAt, ColumnType::BigInteger))
        .take()
}

/// One tells how many claims an owner has made lately, the other which are over.
fn claim_indexes() -> Vec<IndexCreateStatement> {
    let by_owner = Index::create()
        .name("ix_claim_owner_create_at")
        .table(Claim::Table)
        .col(Claim::Owner)
        .col(Claim::CreateAt)
        .take();
    let expired = Index::create()
        .name("ix_claim_expires_at")
        .table(Claim::Table)
        .col(Claim::ExpiresAt)
        .take();
    vec![by_owner, expired]
}
