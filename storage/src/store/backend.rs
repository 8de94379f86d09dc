//! A store of either kind.

use std::collections::HashSet;

use domain::{Address, ByteRange, Owner};
use futures_util::{StreamExt as _, stream, stream::BoxStream};

use super::object::Object;
use crate::{
    boxed,
    bucket::{Bucket, ObjectSummary},
    disk::Disk,
    error::Result,
    memory::Memory,
    metrics::{Operation, OperationMetrics},
};

/// A store with a name in the settings: a local disk, or a bucket.
///
/// Cloning is cheap, and the clone is the same store.
#[derive(Clone)]
pub enum Store {
    /// A local disk.
    Disk(Disk),
    /// A bucket of S3 or OSS.
    Bucket(Bucket),
}

impl Store {
    /// The store's name in the settings.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Disk(disk) => disk.name(),
            Self::Bucket(bucket) => bucket.name(),
        }
    }

    /// The local disk, if the store is one.
    #[must_use]
    pub fn as_disk(&self) -> Option<&Disk> {
        match self {
            Self::Disk(disk) => Some(disk),
            Self::Bucket(_) => None,
        }
    }

    /// The bucket, if the store is one.
    #[must_use]
    pub fn as_bucket(&self) -> Option<&Bucket> {
        match self {
            Self::Disk(_) => None,
            Self::Bucket(bucket) => Some(bucket),
        }
    }

    /// The same store for an owner's bytes: in memory, they get no more than a share.
    #[must_use]
    pub fn for_owner(&self, owner: &Owner) -> Self {
        match self {
            // Nobody waits for memory there.
            Self::Disk(disk) => Self::Disk(disk.clone()),
            Self::Bucket(bucket) => Self::Bucket(bucket.for_owner(owner)),
        }
    }

    /// The memory that it shares with the other stores.
    #[must_use]
    pub fn memory(&self) -> &Memory {
        match self {
            Self::Disk(disk) => disk.memory(),
            Self::Bucket(bucket) => bucket.memory(),
        }
    }

    /// Opens an object, and starts to read the wanted range.
    ///
    /// # Errors
    ///
    /// [`Error::Missing`](crate::Error::Missing) if the object does not exist,
    /// [`Error::WrongSize`](crate::Error::WrongSize) if it is known not to have `size` bytes. A
    /// bucket may notice a wrong size only at the end of the object.
    #[boxed]
    pub async fn open_object(&self, key: &str, size: u64, wanted: ByteRange) -> Result<Object> {
        match self {
            Self::Disk(disk) => Ok(disk.open_object(key, size, wanted.start).await?.into()),
            Self::Bucket(bucket) => Ok(bucket.open_object(key, size, wanted).await?.into()),
        }
    }

    /// Returns the size of an object in bytes, or `None` if it does not exist.
    ///
    /// # Errors
    ///
    /// If the store fails.
    #[boxed]
    pub async fn size(&self, key: &str) -> Result<Option<u64>> {
        match self {
            Self::Disk(disk) => disk.size(key).await,
            Self::Bucket(bucket) => bucket.size(key).await,
        }
    }

    /// Reads ranges of an object of this size, or of a decoy if there is no key, so that a client
    /// cannot tell the two apart. All ranges together are at most
    /// [`WHOLE_UP_TO`](domain::possession::WHOLE_UP_TO) bytes.
    ///
    /// # Errors
    ///
    /// [`Error::Missing`](crate::Error::Missing) or
    /// [`Error::WrongSize`](crate::Error::WrongSize) if the object is missing or has another size.
    #[boxed]
    pub async fn read_ranges(
        &self,
        key: Option<&str>,
        size: u64,
        ranges: Vec<ByteRange>,
    ) -> Result<Vec<u8>> {
        match self {
            Self::Disk(disk) => disk.read_ranges(key, size, ranges).await,
            Self::Bucket(bucket) => bucket.read_ranges(key, size, ranges).await,
        }
    }

    /// Removes an object so that a power failure does not bring it back. It is no error if the
    /// object does not exist.
    ///
    /// # Errors
    ///
    /// If the store fails.
    #[boxed]
    pub async fn remove(&self, key: &str) -> Result<()> {
        match self {
            Self::Disk(disk) => disk.remove(key).await,
            Self::Bucket(bucket) => bucket.remove(key).await,
        }
    }

    /// The maximum size of an object in bytes, if there is a limit.
    #[must_use]
    pub fn max_object_size(&self) -> Option<u64> {
        self.as_bucket().map(Bucket::max_object_size)
    }

    /// Returns whether the store itself marks objects whose row may not be committed.
    #[must_use]
    pub fn marks_uncommitted(&self) -> bool {
        matches!(self, Self::Disk(_))
    }

    /// Lists the marked objects; none if the store has no marks.
    ///
    /// # Errors
    ///
    /// If the store fails.
    #[boxed]
    pub async fn pending(&self) -> Result<HashSet<Address>> {
        match self {
            Self::Disk(disk) => disk.pending().await,
            Self::Bucket(_) => Ok(HashSet::new()),
        }
    }

    /// Lists the objects of a bucket whose unique part begins with this byte. For a disk, use
    /// [`Disk::list`].
    ///
    /// # Errors
    ///
    /// If the store fails.
    #[boxed]
    pub async fn list(&self, first_byte: u8) -> Result<BoxStream<'static, Result<ObjectSummary>>> {
        match self {
            Self::Disk(_) => Ok(stream::empty().boxed()),
            Self::Bucket(bucket) => Ok(bucket.list(first_byte).await?.boxed()),
        }
    }

    /// Lists the segments of resumable uploads in a bucket.
    ///
    /// # Errors
    ///
    /// If the store fails.
    #[boxed]
    pub async fn list_segments(&self) -> Result<BoxStream<'static, Result<ObjectSummary>>> {
        match self {
            Self::Disk(_) => Ok(stream::empty().boxed()),
            Self::Bucket(bucket) => Ok(bucket.list_segments().await?.boxed()),
        }
    }

    /// Checks that the store answers.
    ///
    /// # Errors
    ///
    /// If it does not.
    #[boxed]
    pub async fn probe(&self) -> Result<()> {
        match self {
            Self::Disk(disk) => disk.probe().await,
            Self::Bucket(bucket) => bucket.probe().await,
        }
    }

    /// Checks that bytes can be written, and in a bucket that they can be read back and removed.
    ///
    /// # Errors
    ///
    /// If they cannot.
    #[boxed]
    pub async fn self_test(&self) -> Result<()> {
        match self {
            Self::Disk(disk) => disk.probe().await,
            Self::Bucket(bucket) => bucket.self_test().await,
        }
    }

    /// The metrics of an operation.
    #[must_use]
    pub fn metrics(&self, operation: Operation) -> &OperationMetrics {
        match self {
            Self::Disk(disk) => disk.metrics().of(operation),
            Self::Bucket(bucket) => bucket.metrics().of(operation),
        }
    }
}
