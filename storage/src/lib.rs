//! Object storage: the bytes of the contents, on a local disk or in a bucket.
//!
//! A [`StagingWriter`] hashes and stages the bytes of a new object. [`StagedObject::persist`] then
//! syncs them and moves them to their final key, before any row points at them. Until such a row is
//! committed the object is marked as [uncommitted](UncommittedObject), so that leftovers of a crash
//! can be told apart from objects in use. Dropping a writer or a staged object removes its bytes.
//!
//! The bytes of a resumable upload arrive through one [`AppendWriter`] after another, and stay
//! until the upload is completed or removed.
//!
//! `disk` and `bucket` implement the two kinds of store and know nothing of each other;
//! `store` is the façade over both.

#![expect(
    clippy::must_use_candidate,
    reason = "the boxed futures of async functions must be used anyhow"
)]

mod blocking;
mod bucket;
mod disk;
mod error;
mod hashing;
mod memory;
mod metrics;
mod sizes;
mod store;

// A public async function returns a box. Otherwise each crate that awaits it compiles it anew, with all that
// it awaits in turn.
use async_recursion::async_recursion as boxed;

pub use bucket::{
    Bucket, BucketKind, BucketObject, BucketOptions, ObjectSummary, PresignedUrl,
    ResponseOverrides, Secret, Segment, SegmentIndex, SegmentUpdate, SegmentWriter,
    SegmentedObject, UploadProgress,
};
pub use disk::{
    AbandonedStaging, Disk, DiskAppendWriter, DiskObject, Listing, PendingObject, StoredObject,
};
pub use error::{Error, Result};
pub use hashing::BackgroundHasher;
pub use memory::Memory;
pub use metrics::{Operation, OperationMetrics};
pub use store::{
    AppendOutcome, AppendWriter, AppendedBytes, Object, StagedObject, StagingWriter, Store,
    UncommittedObject,
};
