//! A store, whatever it is.

use std::collections::HashSet;

use domain::{Address, ByteRange, Checksum, Content, RandomId, Timestamp};
use futures_util::{StreamExt as _, stream, stream::BoxStream};

use crate::{
    Appending, Bucket, Disk, Incoming, Known, Ledger, Object, Operation, Reading, Result,
    meter::Meter, object::Remains, staged::Place,
};

/// A store by the name that it has in the settings: a local disk, or a bucket.
///
/// Cloning it is cheap, and gives the same store.
#[derive(Clone)]
pub enum Store {
    /// A local disk.
    Disk(Disk),
    /// A bucket of S3 or OSS.
    Bucket(Bucket),
}

/// An object as a bucket's listing shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its key.
    pub key: String,
    /// How many bytes it has.
    pub size: u64,
    /// When it was written, if the store says so.
    pub modified: Option<Timestamp>,
}

impl Store {
    /// The name that the store has in the settings.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Disk(disk) => disk.name(),
            Self::Bucket(bucket) => bucket.name(),
        }
    }

    /// The local disk, if it is one.
    #[must_use]
    pub fn as_disk(&self) -> Option<&Disk> {
        match self {
            Self::Disk(disk) => Some(disk),
            Self::Bucket(_) => None,
        }
    }

    /// The bucket, if it is one.
    #[must_use]
    pub fn as_bucket(&self) -> Option<&Bucket> {
        match self {
            Self::Disk(_) => None,
            Self::Bucket(bucket) => Some(bucket),
        }
    }

    /// Begins to take in a content.
    #[must_use]
    pub fn receive(&self) -> Incoming {
        Incoming::new(self.clone(), None)
    }

    /// Begins to take in a content of which it is known what it is, or has to be: whoever does so
    /// reads it back before it counts.
    #[must_use]
    pub fn receive_known(&self, content: Content) -> Incoming {
        Incoming::new(self.clone(), Some(content))
    }

    /// Opens an object, and begins to read what is wanted of it.
    ///
    /// # Errors
    ///
    /// [`Error::Missing`](crate::Error::Missing) when it is not there,
    /// [`Error::WrongSize`](crate::Error::WrongSize) when it is known not to have as many bytes as
    /// it should.
    pub async fn open_object(&self, key: &str, size: u64, wanted: ByteRange) -> Result<Object> {
        match self {
            Self::Disk(disk) => disk.open_object(key, size, wanted.start).await,
            Self::Bucket(bucket) => bucket.open_object(key, size, wanted).await,
        }
    }

    /// How many bytes an object has, or `None` if it is not there.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn size(&self, key: &str) -> Result<Option<u64>> {
        match self {
            Self::Disk(disk) => disk.size(key).await,
            Self::Bucket(bucket) => bucket.size(key).await,
        }
    }

    /// Reads spans of an object of a certain size, or of a decoy if there is no key: nobody can
    /// tell the two apart. Together they are not more than
    /// [`WHOLE_UP_TO`](domain::possession::WHOLE_UP_TO).
    ///
    /// # Errors
    ///
    /// [`Error::Missing`](crate::Error::Missing) or
    /// [`Error::WrongSize`](crate::Error::WrongSize) when the object is not what it should be.
    pub async fn sample(
        &self,
        key: Option<&str>,
        size: u64,
        spans: Vec<ByteRange>,
    ) -> Result<Vec<u8>> {
        match self {
            Self::Disk(disk) => disk.sample(key, size, spans).await,
            Self::Bucket(bucket) => bucket.sample(key, size, spans).await,
        }
    }

    /// Removes an object so that no power failure brings it back; one that is not there is no
    /// failure.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn remove(&self, key: &str) -> Result<()> {
        match self {
            Self::Disk(disk) => disk.remove_for_good(key).await,
            Self::Bucket(bucket) => bucket.remove(key).await,
        }
    }

    /// The most bytes that an object can have, if there is a limit.
    #[must_use]
    pub fn largest_object(&self) -> Option<u64> {
        self.as_bucket().map(Bucket::largest_object)
    }

    /// Whether the store marks by itself what it has of which no row may point at.
    #[must_use]
    pub fn keeps_marks(&self) -> bool {
        matches!(self, Self::Disk(_))
    }

    /// The objects of which a store keeps a mark; none, if it keeps none.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn pending(&self) -> Result<HashSet<Address>> {
        match self {
            Self::Disk(disk) => disk.pending().await,
            Self::Bucket(_) => Ok(HashSet::new()),
        }
    }

    /// The objects of a bucket whose unique part begins with this byte; a disk has its own way
    /// ([`Disk::list`]).
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn list(&self, first_byte: u8) -> Result<BoxStream<'static, Result<Entry>>> {
        match self {
            Self::Disk(_) => Ok(stream::empty().boxed()),
            Self::Bucket(bucket) => Ok(bucket.list(first_byte).await?.boxed()),
        }
    }

    /// The objects of a bucket that have a part of an upload.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn list_segments(&self) -> Result<BoxStream<'static, Result<Entry>>> {
        match self {
            Self::Disk(_) => Ok(stream::empty().boxed()),
            Self::Bucket(bucket) => Ok(bucket.list_segments().await?.boxed()),
        }
    }

    /// Makes sure that the store answers.
    ///
    /// # Errors
    ///
    /// When it does not.
    pub async fn probe(&self) -> Result<()> {
        match self {
            Self::Disk(disk) => disk.probe().await,
            Self::Bucket(bucket) => bucket.probe().await,
        }
    }

    /// Makes sure that what is written to the store can be read, and be removed.
    ///
    /// # Errors
    ///
    /// When it cannot.
    pub async fn try_out(&self) -> Result<()> {
        match self {
            Self::Disk(disk) => disk.probe().await,
            Self::Bucket(bucket) => bucket.try_out().await,
        }
    }

    /// What was counted of an operation since the start.
    #[must_use]
    pub fn counted(&self, operation: Operation) -> Reading {
        self.meter().read(operation)
    }

    fn meter(&self) -> &Meter {
        match self {
            Self::Disk(disk) => disk.meter(),
            Self::Bucket(bucket) => bucket.meter(),
        }
    }
}

impl Bucket {
    /// Goes on with an upload of which this is known, and whose bytes from here on are to have these
    /// checksums.
    ///
    /// # Errors
    ///
    /// When what is known is damaged.
    pub fn go_on(
        &self,
        id: RandomId,
        known: Known,
        ledger: Box<dyn Ledger>,
        checksums: Vec<Checksum>,
    ) -> Result<Appending> {
        let appending = self.append(id, known, ledger, checksums)?;
        Ok(Appending(Place::Bucket(Box::new(appending))))
    }

    /// What was staged of an upload, to be read.
    #[must_use]
    pub fn open_staged(&self, known: Known) -> Object {
        Object::segments(Remains {
            bucket: self.clone(),
            size: known.bytes,
            segments: known.segments,
        })
    }
}
