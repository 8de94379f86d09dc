//! Column types that mean the same on every database.

use sea_orm_migration::{prelude::*, sea_orm::DbBackend};

/// Which words a database has for the types that the tables need.
#[derive(Clone, Copy)]
pub(crate) struct Dialect(pub(crate) DbBackend);

impl Dialect {
    /// Hexadecimal digits of a fixed number.
    ///
    /// MySQL would keep room for four bytes a digit otherwise; PostgreSQL would not use an index
    /// over `char` for a parameter that it takes for `text`.
    pub(crate) fn hexadecimal(self, digits: u32) -> ColumnType {
        ColumnType::custom(match self.0 {
            DbBackend::MySql => format!("char({digits}) character set ascii collate ascii_bin"),
            DbBackend::Postgres => format!("varchar({digits}) collate \"C\""),
            _ => format!("char({digits})"),
        })
    }

    /// Unicode text that compares byte by byte, whatever the database's default.
    pub(crate) fn text(self, characters: u32) -> ColumnType {
        ColumnType::custom(match self.0 {
            DbBackend::MySql => {
                format!("varchar({characters}) character set utf8mb4 collate utf8mb4_bin")
            }
            DbBackend::Postgres => format!("varchar({characters}) collate \"C\""),
            _ => format!("varchar({characters})"),
        })
    }

    /// Text of up to some megabytes, which nothing is looked up by.
    pub(crate) fn long_text(self) -> ColumnType {
        ColumnType::custom(match self.0 {
            DbBackend::MySql => "mediumtext character set utf8mb4 collate utf8mb4_bin",
            _ => "text",
        })
    }
}

/// The key by which rows are numbered.
pub(crate) fn primary_key(name: impl IntoIden) -> ColumnDef {
    ColumnDef::new(name)
        .big_integer()
        .not_null()
        .auto_increment()
        .primary_key()
        .take()
}

/// A column that every row has a value in.
pub(crate) fn required(name: impl IntoIden, column_type: ColumnType) -> ColumnDef {
    ColumnDef::new_with_type(name, column_type)
        .not_null()
        .take()
}

/// A column that not every row has a value in.
pub(crate) fn optional(name: impl IntoIden, column_type: ColumnType) -> ColumnDef {
    ColumnDef::new_with_type(name, column_type).null().take()
}

/// A random id, by which alone rows are found.
pub(crate) fn random_id(name: impl IntoIden, dialect: Dialect) -> ColumnDef {
    required(name, dialect.hexadecimal(32)).primary_key().take()
}

/// Creates a table and the indexes beside it, whichever of them are not there yet.
///
/// MySQL has no `CREATE INDEX IF NOT EXISTS`, and makes the indexes with the table; the others
/// have no `CREATE TABLE` that makes one.
pub(crate) async fn create_table(
    manager: &SchemaManager<'_>,
    mut table: TableCreateStatement,
    indexes: Vec<IndexCreateStatement>,
) -> Result<(), DbErr> {
    if manager.get_database_backend() == DbBackend::MySql {
        for mut index in indexes {
            table.index(&mut index);
        }
        return manager.create_table(table).await;
    }
    manager.create_table(table).await?;
    for mut index in indexes {
        manager.create_index(index.if_not_exists().take()).await?;
    }
    Ok(())
}

/// Adds a column of numbers, of which there may be none, to a table, unless the table has it.
pub(crate) async fn add_column(
    manager: &SchemaManager<'_>,
    table: &str,
    name: &'static str,
) -> Result<(), DbErr> {
    add_column_of(manager, table, name, ColumnType::BigInteger).await
}

/// Adds a column, which may have no value, to a table, unless the table has it.
pub(crate) async fn add_column_of(
    manager: &SchemaManager<'_>,
    table: &str,
    name: &'static str,
    column_type: ColumnType,
) -> Result<(), DbErr> {
    if manager.has_column(table, name).await? {
        return Ok(());
    }
    let mut alter = Table::alter();
    alter
        .table(Alias::new(table))
        .add_column(optional(Alias::new(name), column_type));
    manager.alter_table(alter).await
}

/// Takes a column away from a table, if the table has it.
pub(crate) async fn drop_column(
    manager: &SchemaManager<'_>,
    table: &str,
    name: &'static str,
) -> Result<(), DbErr> {
    if !manager.has_table(table).await? || !manager.has_column(table, name).await? {
        return Ok(());
    }
    let mut alter = Table::alter();
    alter.table(Alias::new(table)).drop_column(Alias::new(name));
    manager.alter_table(alter).await
}

/// Adds an index to a table that is there, unless the table has it.
pub(crate) async fn add_index(
    manager: &SchemaManager<'_>,
    table: &str,
    name: &str,
    columns: &[&str],
) -> Result<(), DbErr> {
    if manager.has_index(table, name).await? {
        return Ok(());
    }
    let mut index = Index::create();
    index.name(name).table(Alias::new(table));
    for column in columns {
        index.col(Alias::new(*column));
    }
    manager.create_index(index).await
}

/// Takes an index away from a table, if the table has it.
pub(crate) async fn drop_index(
    manager: &SchemaManager<'_>,
    table: &str,
    name: &str,
) -> Result<(), DbErr> {
    if !manager.has_table(table).await? || !manager.has_index(table, name).await? {
        return Ok(());
    }
    let mut drop = Index::drop();
    drop.name(name).table(Alias::new(table));
    manager.drop_index(drop).await
}
