//! What several processes need to agree on who does what has to be done once.

use sea_orm_migration::prelude::*;

use crate::dialect::{Dialect, create_table, required};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

/// Columns of `tbl_lease`.
#[derive(DeriveIden)]
enum Lease {
    #[sea_orm(iden = "tbl_lease")]
    Table,
    Name,
    Holder,
    Beat,
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let dialect = Dialect(manager.get_database_backend());
        create_table(manager, lease_table(dialect), Vec::new()).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let drop = Table::drop().table(Lease::Table).if_exists().take();
        manager.drop_table(drop).await
    }
}

fn lease_table(dialect: Dialect) -> TableCreateStatement {
    Table::create()
        .table(Lease::Table)
        .if_not_exists()
        .col(required(Lease::Name, dialect.text(64)).primary_key().take())
        .col(required(Lease::Holder, dialect.text(64)))
        .col(required(Lease::Beat, ColumnType::BigInteger))
        .take()
}
