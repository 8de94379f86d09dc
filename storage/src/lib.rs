//! Where the bytes of the contents are.
//!
//! Bytes arrive in an [`Incoming`], which hashes and stages them; they are synced and get the
//! name under which they stay when they are [placed](Received::place), before any row points at
//! them. Until such a row is committed they are marked, so that what a crash leaves behind is
//! told apart from what is in use. Whatever is dropped on the way is removed.
//!
//! The bytes of an upload that can be resumed arrive in one [`Appending`] after another, and stay
//! until it is finished or removed.

mod bucket;
mod digesting;
mod disk;
mod error;
mod identity;
mod incoming;
mod key;
mod meter;
mod object;
mod pipeline;
mod placed;
mod sample;
mod staged;
mod staging;
mod store;
mod uploads;

pub use bucket::{
    Bucket, BucketKind, BucketOptions, Known, Ledger, Presigned, PresignedAs, Secret, Segment, Step,
};
pub use digesting::Digesting;
pub use disk::{Disk, Listing, StoredObject};
pub use error::{Error, Result};
pub use incoming::{Incoming, Received};
pub use meter::{LATENCY_BOUNDS, Operation, Reading};
pub use object::Object;
pub use placed::Placed;
pub use staged::{Appending, End, Kept};
pub use staging::{Abandoned, Pending};
pub use store::{Entry, Store};
