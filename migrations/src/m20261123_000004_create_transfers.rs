//! What stores past one disk need: what is staged in them, what is to go from them, and what is to
//! be copied between them.

use sea_orm_migration::prelude::*;

use crate::dialect::{Dialect, create_table, optional, primary_key, random_id, required};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

/// Columns of `tbl_staging`.
#[derive(DeriveIden)]
enum Staging {
    #[sea_orm(iden = "tbl_staging")]
    Table,
    Id,
    Store,
    Bytes,
    HashState,
    Turn,
}

/// Columns of `tbl_segment`.
#[derive(DeriveIden)]
enum Segment {
    #[sea_orm(iden = "tbl_segment")]
    Table,
    Id,
    UploadId,
    Start,
    Size,
    ObjectKey,
}

/// Columns of `tbl_leftover`.
#[derive(DeriveIden)]
enum Leftover {
    #[sea_orm(iden = "tbl_leftover")]
    Table,
    Id,
    FileSha1,
    FileAddr,
    DueAt,
}

/// Columns of `tbl_job`.
#[derive(DeriveIden)]
enum Job {
    #[sea_orm(iden = "tbl_job")]
    Table,
    Id,
    FileSha1,
    FromStore,
    ToStore,
    Keeps,
    TransferId,
    FileSize,
    Status,
    Attempts,
    DueAt,
    Holder,
    Error,
    CreateAt,
}

/// Columns of `tbl_transfer`.
#[derive(DeriveIden)]
enum Transfer {
    #[sea_orm(iden = "tbl_transfer")]
    Table,
    Id,
    FromStore,
    ToStore,
    Rate,
    Status,
    Pass,
    Found,
    Shard,
    AfterId,
    TotalFiles,
    TotalBytes,
    CopiedFiles,
    CopiedBytes,
    PacedUntil,
    Planner,
    PlannedUntil,
    CreateAt,
    UpdateAt,
    EndAt,
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let dialect = Dialect(manager.get_database_backend());
        create_table(manager, staging_table(dialect), Vec::new()).await?;
        create_table(manager, segment_table(dialect), Vec::new()).await?;
        create_table(manager, leftover_table(dialect), leftover_indexes()).await?;
        create_table(manager, job_table(dialect), job_indexes()).await?;
        create_table(manager, transfer_table(dialect), Vec::new()).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in [
            "tbl_transfer",
            "tbl_job",
            "tbl_leftover",
            "tbl_segment",
            "tbl_staging",
        ] {
            let drop = Table::drop().table(Alias::new(table)).if_exists().take();
            manager.drop_table(drop).await?;
        }
        Ok(())
    }
}

fn staging_table(dialect: Dialect) -> TableCreateStatement {
    Table::create()
        .table(Staging::Table)
        .if_not_exists()
        .col(random_id(Staging::Id, dialect))
        .col(required(Staging::Store, dialect.text(64)))
        .col(required(Staging::Bytes, ColumnType::BigInteger))
        .col(optional(Staging::HashState, dialect.text(1024)))
        .col(required(Staging::Turn, ColumnType::BigInteger))
        .take()
}

fn segment_table(dialect: Dialect) -> TableCreateStatement {
    Table::create()
        .table(Segment::Table)
        .if_not_exists()
        .col(primary_key(Segment::Id))
        .col(required(Segment::UploadId, dialect.hexadecimal(32)))
        .col(required(Segment::Start, ColumnType::BigInteger))
        .col(required(Segment::Size, ColumnType::BigInteger))
        .col(required(Segment::ObjectKey, dialect.text(255)))
        .index(
            Index::create()
                .name("uq_segment_upload_start")
                .col(Segment::UploadId)
                .col(Segment::Start)
                .unique(),
        )
        .take()
}

fn leftover_table(dialect: Dialect) -> TableCreateStatement {
    Table::create()
        .table(Leftover::Table)
        .if_not_exists()
        .col(primary_key(Leftover::Id))
        .col(required(Leftover::FileSha1, dialect.hexadecimal(40)))
        .col(required(Leftover::FileAddr, dialect.text(255)))
        .col(required(Leftover::DueAt, ColumnType::BigInteger))
        .take()
}

/// One finds what is to go, the other what is left over of a content.
fn leftover_indexes() -> Vec<IndexCreateStatement> {
    let due = Index::create()
        .name("ix_leftover_due_at")
        .table(Leftover::Table)
        .col(Leftover::DueAt)
        .take();
    let of_content = Index::create()
        .name("ix_leftover_sha1")
        .table(Leftover::Table)
        .col(Leftover::FileSha1)
        .take();
    let at_address = Index::create()
        .name("ix_leftover_addr")
        .table(Leftover::Table)
        .col(Leftover::FileAddr)
        .take();
    vec![due, of_content, at_address]
}

fn job_table(dialect: Dialect) -> TableCreateStatement {
    Table::create()
        .table(Job::Table)
        .if_not_exists()
        .col(primary_key(Job::Id))
        .col(required(Job::FileSha1, dialect.hexadecimal(40)))
        .col(required(Job::FromStore, dialect.text(64)))
        .col(required(Job::ToStore, dialect.text(64)))
        .col(required(Job::Keeps, ColumnType::Integer))
        .col(optional(Job::TransferId, dialect.hexadecimal(32)))
        .col(required(Job::FileSize, ColumnType::BigInteger))
        .col(required(Job::Status, ColumnType::Integer))
        .col(required(Job::Attempts, ColumnType::Integer))
        .col(required(Job::DueAt, ColumnType::BigInteger))
        .col(optional(Job::Holder, dialect.text(64)))
        .col(optional(Job::Error, dialect.text(1024)))
        .col(required(Job::CreateAt, ColumnType::BigInteger))
        .index(
            Index::create()
                .name("uq_job_copy")
                .col(Job::FileSha1)
                .col(Job::FromStore)
                .col(Job::ToStore)
                .unique(),
        )
        .take()
}

/// One finds what is to be done, the other how far a transfer is.
fn job_indexes() -> Vec<IndexCreateStatement> {
    let due = Index::create()
        .name("ix_job_status_due_at")
        .table(Job::Table)
        .col(Job::Status)
        .col(Job::DueAt)
        .take();
    let of_transfer = Index::create()
        .name("ix_job_transfer_status")
        .table(Job::Table)
        .col(Job::TransferId)
        .col(Job::Status)
        .take();
    vec![due, of_transfer]
}

fn transfer_table(dialect: Dialect) -> TableCreateStatement {
    Table::create()
        .table(Transfer::Table)
        .if_not_exists()
        .col(random_id(Transfer::Id, dialect))
        .col(required(Transfer::FromStore, dialect.text(64)))
        .col(required(Transfer::ToStore, dialect.text(64)))
        .col(optional(Transfer::Rate, ColumnType::BigInteger))
        .col(required(Transfer::Status, ColumnType::Integer))
        .col(required(Transfer::Pass, ColumnType::Integer))
        .col(required(Transfer::Found, ColumnType::BigInteger))
        .col(required(Transfer::Shard, ColumnType::Integer))
        .col(required(Transfer::AfterId, ColumnType::BigInteger))
        .col(required(Transfer::TotalFiles, ColumnType::BigInteger))
        .col(required(Transfer::TotalBytes, ColumnType::BigInteger))
        .col(required(Transfer::CopiedFiles, ColumnType::BigInteger))
        .col(required(Transfer::CopiedBytes, ColumnType::BigInteger))
        .col(required(Transfer::PacedUntil, ColumnType::BigInteger))
        .col(optional(Transfer::Planner, dialect.text(64)))
        .col(required(Transfer::PlannedUntil, ColumnType::BigInteger))
        .col(required(Transfer::CreateAt, ColumnType::BigInteger))
        .col(required(Transfer::UpdateAt, ColumnType::BigInteger))
        .col(optional(Transfer::EndAt, ColumnType::BigInteger))
        .take()
}
