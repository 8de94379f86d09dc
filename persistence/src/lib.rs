//! The metadata in SQL: contents in 256 tables, the entries of owners, and the work to do on the
//! copies in stores.
//!
//! Each statement and transaction runs with a time limit and is retried after a lost race. A
//! failing database is an [`Error`], never a missing row; the variants of [`Error`] are the cases
//! that callers treat differently.

#![expect(
    clippy::must_use_candidate,
    reason = "the boxed futures of async functions must be used anyhow"
)]

mod accounts;
mod checksums;
mod claims;
mod connect;
mod connection;
mod contents;
mod database;
mod database_file;
mod entities;
mod entries;
mod error;
mod handover;
mod identities;
mod jobs;
mod leases;
mod links;
pub mod meter;
mod pending_deletions;
#[doc(hidden)]
pub mod plans;
mod purging;
mod recording;
mod relocation;
mod replicas;
mod row;
mod schema;
mod sessions;
mod shard;
mod stagings;
mod tokens;
mod transaction;
mod transfers;
mod usage;
mod visits;

// A public async function returns a box. Otherwise each crate that awaits it compiles it anew, with all that
// it awaits in turn.
use async_recursion::async_recursion as boxed;

pub use accounts::Accounts;
pub use checksums::{Checksums, CopyDrop};
pub use claims::Claims;
pub use connect::Options;
pub use contents::Contents;
pub use database::Database;
pub use entries::{Entries, Part};
pub use error::{Error, Result};
pub use handover::{HandedOver, Handover};
pub use identities::Identities;
pub use jobs::Jobs;
pub use leases::{Lease, Leases};
pub use links::Links;
pub use pending_deletions::{PendingDeletion, PendingDeletions};
pub use purging::Purging;
pub use recording::{CopyTarget, RecordOutcome, UploadRecord};
pub use relocation::Relocation;
pub use schema::Schema;
pub use sessions::Sessions;
pub use shard::Shard;
pub use stagings::{Advance, Segment, Staging, Stagings};
pub use tokens::Tokens;
pub use transfers::Transfers;
pub use visits::{Charge, Visits};
