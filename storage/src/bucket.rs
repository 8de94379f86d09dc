//! A store that is reached over HTTP: S3 (Ceph and others) or Aliyun OSS.
//!
//! | key below the store's prefix | content |
//! | --- | --- |
//! | `objects/3a/<unique>` | the objects; the folder is the first byte of the unique part |
//! | `uploads/<id>/<start>-<unique>` | segments of resumable uploads |
//! | `decoy`, `probe/<unique>` | for reads of a missing object, and for self-tests |
//!
//! A key cannot contain the SHA-1, which is known only after all bytes have been sent. A bucket has
//! no marks of uncommitted objects: the caller keeps a record elsewhere.

pub(crate) mod client;
pub(crate) mod commit;
mod error;
mod key;
mod list;
pub(crate) mod multipart;
pub(crate) mod object;
mod objects;
mod operator;
mod options;
mod presign;
mod probe;
pub(crate) mod segments;

pub use client::Bucket;
pub use list::ObjectSummary;
pub use object::BucketObject;
pub use options::{BucketKind, BucketOptions, Secret};
pub use presign::{PresignedUrl, ResponseOverrides};
pub use segments::{
    Segment, SegmentIndex, SegmentUpdate, SegmentWriter, SegmentedObject, UploadProgress,
};
