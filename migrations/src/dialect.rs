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
}
