//! Reading an object of any store.

use bytes::Bytes;
use domain::ByteRange;
use futures_util::stream::BoxStream;

use crate::{
    bucket::{BucketObject, SegmentedObject},
    disk::DiskObject,
    error::Result,
};

/// An object, or the staged bytes of an upload, open for reading.
///
/// The first bytes of an object have been read already. On a disk it can be read to its end even if
/// it is removed meanwhile.
#[derive(Clone)]
pub struct Object(Inner);

#[derive(Clone)]
enum Inner {
    Disk(DiskObject),
    Bucket(Box<BucketObject>),
    Segments(SegmentedObject),
}

impl Object {
    /// The object's size in bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        match &self.0 {
            Inner::Disk(object) => object.size(),
            Inner::Bucket(object) => object.size(),
            Inner::Segments(object) => object.size(),
        }
    }

    /// Returns the bytes of a range if they have been read already.
    #[must_use]
    pub fn ready(&self, range: ByteRange) -> Option<Bytes> {
        match &self.0 {
            Inner::Disk(object) => object.ready(range),
            Inner::Bucket(object) => object.ready(range),
            Inner::Segments(_) => None,
        }
    }

    /// Streams the bytes of a range. The next piece is read while one is being sent.
    #[must_use]
    pub fn stream(self, range: ByteRange) -> BoxStream<'static, Result<Bytes>> {
        match self.0 {
            Inner::Disk(object) => object.stream(range),
            Inner::Bucket(object) => object.stream(range),
            Inner::Segments(object) => object.stream(range),
        }
    }
}

impl From<DiskObject> for Object {
    fn from(object: DiskObject) -> Self {
        Self(Inner::Disk(object))
    }
}

impl From<BucketObject> for Object {
    fn from(object: BucketObject) -> Self {
        Self(Inner::Bucket(Box::new(object)))
    }
}

impl From<SegmentedObject> for Object {
    fn from(object: SegmentedObject) -> Self {
        Self(Inner::Segments(object))
    }
}
