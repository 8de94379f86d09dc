//! Resumable uploads in a bucket: a sequence of segments, each an object of its own.
//!
//! Each segment has a key of its own, and counts once the [`SegmentIndex`] contains it. So a
//! request that continues the upload, in any process, sees its offset, and a superseded request
//! changes nothing any more. At the end the segments become one object, by server-side copies if the store
//! supports them.

mod append;
mod compact;
mod compose;
mod index;
mod read;
mod writer;

pub use append::SegmentWriter;
pub use index::{Segment, SegmentIndex, SegmentUpdate, UploadProgress};
pub use read::SegmentedObject;
pub(crate) use {compose::SegmentedUpload, writer::SegmentAppendOutcome};
