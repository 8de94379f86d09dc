//! The use cases of the file service, each in one place, independent of the protocol of a request.
//!
//! Rules that all of them follow: bytes are safe before the row that points at them is committed;
//! every lookup goes through the owner's own entry; no transaction is open while bytes move.

#![expect(
    clippy::must_use_candidate,
    reason = "the boxed futures of async functions must be used anyhow"
)]

mod address_cache;
mod check;
mod checksum_cache;
mod claim;
mod clock;
mod clock_watch;
mod copy;
mod cursor;
mod damage;
mod digest;
mod download;
mod entry_cache;
mod error;
mod execute_job;
mod expected;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
mod handover;
mod identity;
mod jobs;
mod lease;
mod limits;
mod link_keys;
mod links;
mod list;
mod listing_turns;
mod plan_transfers;
mod purge;
mod quota_reservation;
mod random;
mod reserve_quota;
mod scrub;
mod service;
mod sessions;
mod store_content;
mod stores;
mod sweep;
mod takeover;
mod tokens;
mod transfers;
mod update;
mod upload;
mod usage;
mod verified_object;
mod visits;

// A public async function returns a box. Otherwise each crate that awaits it compiles it anew, with all that
// it awaits in turn.
use async_recursion::async_recursion as boxed;

pub use check::{CheckOptions, CheckProgress, Finding, Summary};
pub use claim::{ClaimTicket, NewClaim};
pub use clock::Clock;
pub use cursor::CursorKey;
pub use download::Download;
pub use entry_cache::ENTRY_FORMAT;
pub use error::{Error, Result};
pub use execute_job::JobOutcome;
pub use expected::Expected;
pub use handover::HandoverCounts;
pub use lease::{Lease, LeaseName};
pub use limits::{Disclosure, Limits};
pub use link_keys::LinkKeys;
pub use links::{IssuedLink, LinkedFile, NewLink, Visitor};
pub use list::Page;
pub use plan_transfers::PlanProgress;
pub use purge::Purged;
pub use scrub::ScrubCounts;
pub use service::{FileService, Keys};
pub use sessions::{
    Append, AppendRequest, Completion, NewUpload, Outcome, UploadPage, UploadStatus,
};
pub use store_content::Stored;
pub use stores::{Policy, Stores};
pub use tokens::NewToken;
pub use transfers::TransferReport;
pub use update::FileUpdate;
pub use upload::Upload;
pub use usage::Allowance;
pub use verified_object::VerifiedObject;
pub use visits::ChargedVisit;

// The model.
pub use domain::{
    Entry, EntryFilter, EntryOutcome, Job, JobCounts, JobId, Limit, Link, Miscount, OwnQuota,
    Protocol, ReplicaSetStatus, Role, ServerStatus, Session, SessionState, Token, TokenState,
    Transfer, TransferState,
};
