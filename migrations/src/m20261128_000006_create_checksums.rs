//! The checksums of blocks, by which a reader notices bytes that changed in a store.
//!
//! They can be computed again from whole bytes.

use sea_orm_migration::prelude::*;

use crate::dialect::{Dialect, create_table, required};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

/// Columns of `tbl_checksum`.
#[derive(DeriveIden)]
enum Checksum {
    #[sea_orm(iden = "tbl_checksum")]
    Table,
    FileSha1,
    Number,
    Checksums,
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let dialect = Dialect(manager.get_database_backend());
        create_table(manager, table(dialect), Vec::new()).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let drop = Table::drop().table(Checksum::Table).if_exists().take();
        manager.drop_table(drop).await
    }
}

fn table(dialect: Dialect) -> TableCreateStatement {
    let key = Index::create()
        .col(Checksum::FileSha1)
        .col(Checksum::Number)
        .take();
    Table::create()
        .table(Checksum::Table)
        .if_not_exists()
        .col(required(Checksum::FileSha1, dialect.hexadecimal(40)))
        .col(required(Checksum::Number, ColumnType::Integer))
        .col(required(Checksum::Checksums, ColumnType::Blob))
        .primary_key(&mut key.clone())
        .take()
}
