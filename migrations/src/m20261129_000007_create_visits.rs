//! The visits of links with a limited number of downloads, and what each link has given away.

use sea_orm_migration::prelude::*;

use crate::dialect::{Dialect, add_column, add_column_of, create_table, drop_column, required};

const LINKS: &str = "tbl_link";

/// The number of visits that were counted; less than `downloads` if processes of an older release
/// counted, too.
const VISITS: &str = "visits";

/// How often each part of the file was given away by those visits.
const COVERAGE: &str = "coverage";

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

/// Columns of `tbl_visit`.
#[derive(DeriveIden)]
enum Visit {
    #[sea_orm(iden = "tbl_visit")]
    Table,
    LinkId,
    Visitor,
    Number,
    Bytes,
    UsedAt,
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let dialect = Dialect(manager.get_database_backend());
        add_column(manager, LINKS, VISITS).await?;
        add_column_of(manager, LINKS, COVERAGE, ColumnType::Blob).await?;
        let old = Index::create()
            .name("ix_visit_used_at")
            .table(Visit::Table)
            .col(Visit::UsedAt)
            .take();
        create_table(manager, table(dialect), vec![old]).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let drop = Table::drop().table(Visit::Table).if_exists().take();
        manager.drop_table(drop).await?;
        drop_column(manager, LINKS, COVERAGE).await?;
        drop_column(manager, LINKS, VISITS).await
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
        .col(required(Visit::Number, ColumnType::BigInteger))
        .col(required(Visit::Bytes, ColumnType::BigInteger))
        .col(required(Visit::UsedAt, ColumnType::BigInteger))
        .primary_key(&mut key.clone())
        .take()
}
