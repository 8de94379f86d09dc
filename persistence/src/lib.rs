//! The metadata in SQL: contents over 256 tables, and the owners' entries.
//!
//! Every statement goes through [`Database::read`], [`Database::write`] or
//! [`Database::transact`], which bound how long it may take, try again what lost a race, and tell
//! apart what callers treat differently. A database that fails is an [`Error`], never a row that
//! is not there.

mod contents;
mod database;
mod entities;
mod entries;
mod error;
mod recording;
mod schema;
mod shard;

pub use contents::{Contents, StoredContent};
pub use database::{Database, Options};
pub use entries::{Entries, Entry, EntryChange, EntryFilter, Position};
pub use error::{Error, Result};
pub use recording::{Arrival, Novelty, Recording};
pub use schema::Schema;
pub use shard::Shard;
