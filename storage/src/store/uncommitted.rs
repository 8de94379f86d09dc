//! Objects whose row is not committed yet.

use domain::Address;

use crate::{boxed, bucket::Bucket, disk::commit::UncommittedFile, error::Result};

/// A durable object whose row is not committed yet. On a disk it is marked until it is committed or
/// discarded.
#[must_use = "the object stays marked until it is committed or discarded"]
#[derive(Debug)]
pub struct UncommittedObject(Inner);

#[derive(Debug)]
enum Inner {
    Disk(UncommittedFile),
    Bucket(Bucket, String),
}

impl UncommittedObject {
    pub(super) fn in_bucket(bucket: Bucket, key: String) -> Self {
        Self(Inner::Bucket(bucket, key))
    }

    /// The object's address.
    #[must_use]
    pub fn address(&self) -> Address {
        match &self.0 {
            Inner::Disk(file) => file.address(),
            Inner::Bucket(bucket, key) => bucket.address(key.clone()),
        }
    }

    /// Removes the mark, after a row that points at the object was committed.
    #[boxed]
    pub async fn commit(self) {
        match self.0 {
            Inner::Disk(file) => file.commit().await,
            Inner::Bucket(..) => {}
        }
    }

    /// Removes the object, to which no row points.
    ///
    /// # Errors
    ///
    /// If the store fails. On a disk the object stays marked then, and is removed after this
    /// process has ended.
    #[boxed]
    pub async fn discard(self) -> Result<()> {
        match self.0 {
            Inner::Disk(file) => file.discard().await,
            Inner::Bucket(bucket, key) => bucket.remove(&key).await,
        }
    }
}

impl From<UncommittedFile> for UncommittedObject {
    fn from(file: UncommittedFile) -> Self {
        Self(Inner::Disk(file))
    }
}
