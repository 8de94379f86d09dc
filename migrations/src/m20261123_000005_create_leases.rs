//! What several processes need to agree on: who does what is to be done once, and which disk a store
//! is.

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

/// Columns of `tbl_store`.
#[derive(DeriveIden)]
enum Store {
    #[sea_orm(iden = "tbl_store")]
    Table,
    Name,
    Identity,
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let dialect = Dialect(manager.get_database_backend());
        create_table(manager, lease_table(dialect), Vec::new()).await?;
        create_table(manager, store_table(dialect), Vec::new()).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in ["tbl_store", "tbl_lease"] {
            let drop = Table::drop().table(Alias::new(table)).if_exists().take();
            manager.drop_table(drop).await?;
        }
        Ok(())
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

fn store_table(dialect: Dialect) -> TableCreateStatement {
    Table::create()
        .table(Store::Table)
        .if_not_exists()
        .col(required(Store::Name, dialect.text(64)).primary_key().take())
        .col(required(Store::Identity, dialect.hexadecimal(32)))
        .take()
}
