//! Conversions between values and the columns of rows.

use std::fmt::Display;

use sea_orm::{DbBackend, sea_query::Alias};

use crate::error::{Error, Result};

/// Turns the failure to read a column into [`Error::CorruptRow`].
pub(crate) trait OrCorrupt<T> {
    /// Names the table whose row could not be read.
    fn or_corrupt(self, table: &'static str) -> Result<T>;
}

impl<T, E: Display> OrCorrupt<T> for Result<T, E> {
    fn or_corrupt(self, table: &'static str) -> Result<T> {
        self.map_err(|error| Error::corrupt(table, error.to_string()))
    }
}

/// Reads a column that holds a number which is never negative.
pub(crate) fn unsigned(table: &'static str, stored: i64) -> Result<u64> {
    stored.try_into().or_corrupt(table)
}

/// Converts a number to the type of its column.
pub(crate) fn signed(table: &'static str, number: u64) -> Result<i64> {
    number.try_into().or_corrupt(table)
}

/// The SQL type to cast a sum to; a sum has a different type on each database.
pub(crate) fn big_integer(backend: DbBackend) -> Alias {
    Alias::new(match backend {
        DbBackend::MySql => "SIGNED",
        _ => "BIGINT",
    })
}
