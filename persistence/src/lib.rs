//! The metadata in SQL: contents over 256 tables, the owners' entries, and what is to be done with
//! the copies in stores.
//!
//! Every statement is made in an attempt that bounds how long it may take, tries again what lost
//! a race, and tells apart what callers treat differently. A database that fails is an [`Error`],
//! never a row that is not there.

mod accounts;
mod claims;
mod connection;
mod contents;
mod database;
mod entities;
mod entries;
mod error;
mod identities;
mod jobs;
mod leases;
mod leftovers;
mod links;
pub mod meter;
mod moving;
#[doc(hidden)]
pub mod plans;
mod purging;
mod recording;
mod schema;
mod servers;
mod sessions;
mod shard;
mod stagings;
mod tokens;
mod transfers;
mod usage;

pub use accounts::{Account, Accounts, Limit, Miscount, OwnQuota};
pub use claims::{Claim, Claims};
pub use contents::{Contents, StoredContent};
pub use database::{Database, Options};
pub use entries::{Entries, Entry, EntryChange, EntryFilter, Position};
pub use error::{Error, Result};
pub use identities::Identities;
pub use jobs::{Job, JobId, Jobs, NewJob, Standing};
pub use leases::{Lease, Leases};
pub use leftovers::{Leftover, Leftovers};
pub use links::{Link, Links};
pub use moving::Switch;
pub use purging::Purging;
pub use recording::{Arrival, CopyTo, Novelty, Recording};
pub use schema::Schema;
pub use servers::{ServerStatus, ServersStatus};
pub use sessions::{Protocol, Role, Session, SessionState, Sessions};
pub use shard::Shard;
pub use stagings::{Advance, Segment, Staging, Stagings};
pub use tokens::{Token, TokenState, Tokens};
pub use transfers::{Progress, Transfer, TransferState, Transfers};
