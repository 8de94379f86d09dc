//! The visits of links with a limited number of downloads.
//!
//! Without them, every request by such a link counts as a download.

use sea_orm_migration::prelude::*;

use crate::dialect::{Dialect, create_table, required};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

/// Columns of `tbl_visit`.
#[derive(DeriveIden)]
enum Visit {
    #[sea_orm(iden = "tbl_visit")]
    Table,
    LinkId,
    Visitor,
    BytesLeft,
    ExpiresAt,
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let dialect = Dialect(manager.get_database_backend());
        let by_expiry = Index::create()
            .name("ix_visit_expiry")
            .table(Visit::Table)
            .col(Visit::ExpiresAt)
            .take();
        create_table(manager, table(dialect), vec![by_expiry]).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let drop = Table::drop().table(Visit::Table).if_exists().take();
        manager.drop_table(drop).await
    }
}

fn table(dialect: Dialect) -> TableCreateStatement {
    let key = Index::create()
        .col(Visit::LinkId)
        .col(Visit::Visitor)
        .take();
    Table::create()
        .table(Visit::Table)
        .if_not_exists()
        .col(required(Visit::LinkId, dialect.hexadecimal(32)))
        .col(required(Visit::Visitor, dialect.hexadecimal(32)))
        .col(required(Visit::BytesLeft, ColumnType::BigInteger))
        .col(required(Visit::ExpiresAt, ColumnType::BigInteger))
        .primary_key(&mut key.clone())
        .take()
}
