//! The metadata in SQL: contents over 256 tables, and the owners' entries.
//!
//! Every statement is made in an attempt that bounds how long it may take, tries again what lost
//! a race, and tells apart what callers treat differently. A database that fails is an [`Error`],
//! never a row that is not there.

mod accounts;
mod claims;
mod contents;
mod database;
mod entities;
mod entries;
mod error;
mod links;
#[doc(hidden)]
pub mod plans;
mod purging;
mod recording;
mod schema;
mod sessions;
mod shard;
mod tokens;
mod usage;

pub use accounts::{Account, Accounts, Limit, Miscount, OwnQuota};
pub use claims::{Claim, Claims};
pub use contents::{Contents, StoredContent};
pub use database::{Database, Options};
pub use entries::{Entries, Entry, EntryChange, EntryFilter, Position};
pub use error::{Error, Result};
pub use links::{Link, Links};
pub use purging::Purging;
pub use recording::{Arrival, Novelty, Recording};
pub use schema::Schema;
pub use sessions::{Protocol, Role, Session, SessionState, Sessions};
pub use shard::Shard;
pub use tokens::{Token, TokenState, Tokens};
