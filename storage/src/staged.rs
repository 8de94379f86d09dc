//! Bytes that are being appended to an upload, wherever they are staged.

use domain::Content;

use crate::{
    Received, Result,
    bucket::{JoinedSegments, SegmentAppending, SegmentEnd},
    incoming::ReceivedBytes,
    store::Store,
    uploads::{DiskAppending, DiskEnd, DiskKept},
};

/// An upload that bytes are appended to; nobody else can do so meanwhile.
///
/// Dropping it keeps what has come, unless that was to be verified.
pub struct Appending(pub(crate) Place);

pub(crate) enum Place {
    Disk(Box<DiskAppending>),
    Bucket(Box<SegmentAppending>),
}

/// What came of appending.
pub enum End {
    /// The bytes are kept; this is all of the upload so far.
    Kept(Box<Kept>),
    /// They do not have the checksum, and were dropped; this many are there.
    WrongChecksum(u64),
}

/// An upload's bytes so far.
pub struct Kept(KeptAt);

enum KeptAt {
    Disk(Box<DiskKept>),
    Bucket(Box<JoinedSegments>),
}

impl Appending {
    /// How many bytes the upload has with those appended.
    #[must_use]
    pub fn offset(&self) -> u64 {
        match &self.0 {
            Place::Disk(appending) => appending.offset(),
            Place::Bucket(appending) => appending.offset(),
        }
    }

    /// Whether another process waits to go on with the upload.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn is_wanted(&self) -> Result<bool> {
        match &self.0 {
            Place::Disk(appending) => appending.is_wanted().await,
            Place::Bucket(appending) => appending.is_wanted().await,
        }
    }

    /// Takes in the next bytes.
    ///
    /// # Errors
    ///
    /// [`Error::Full`](crate::Error::Full) when the store is; whatever else the store says.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<()> {
        match &mut self.0 {
            Place::Disk(appending) => appending.write(bytes).await,
            Place::Bucket(appending) => appending.write(bytes).await,
        }
    }

    /// Ends appending when all bytes have come that were to come; `is_last` if nothing will be
    /// appended any more.
    ///
    /// # Errors
    ///
    /// As [`Appending::write`].
    pub async fn end(self, is_last: bool) -> Result<End> {
        Ok(match self.0 {
            Place::Disk(appending) => match appending.end().await? {
                DiskEnd::Kept(kept) => End::Kept(Box::new(Kept(KeptAt::Disk(kept)))),
                DiskEnd::WrongChecksum(offset) => End::WrongChecksum(offset),
            },
            Place::Bucket(appending) => match appending.end(is_last).await? {
                SegmentEnd::Kept(kept) => End::Kept(Box::new(Kept(KeptAt::Bucket(kept)))),
                SegmentEnd::WrongChecksum(offset) => End::WrongChecksum(offset),
            },
        })
    }

    /// Ends appending when not all bytes have come, and gives how many are there.
    ///
    /// What could not be verified is dropped, everything else is kept.
    ///
    /// # Errors
    ///
    /// As [`Appending::write`].
    pub async fn break_off(self) -> Result<u64> {
        match self.0 {
            Place::Disk(appending) => appending.break_off().await,
            Place::Bucket(appending) => appending.break_off().await,
        }
    }
}

impl Kept {
    /// How many bytes there are.
    #[must_use]
    pub fn offset(&self) -> u64 {
        match &self.0 {
            KeptAt::Disk(kept) => kept.offset(),
            KeptAt::Bucket(kept) => kept.hasher.size(),
        }
    }

    /// What identifies the bytes.
    #[must_use]
    pub fn content(&self) -> Content {
        match &self.0 {
            KeptAt::Disk(kept) => kept.content(),
            KeptAt::Bucket(kept) => kept.content(),
        }
    }

    /// Waits until the bytes are safe, which is noted.
    ///
    /// # Errors
    ///
    /// When the store fails; none of the bytes counts then.
    pub async fn sync(&self) -> Result<()> {
        match &self.0 {
            KeptAt::Disk(kept) => kept.sync().await,
            // They have been since they were written.
            KeptAt::Bucket(_) => Ok(()),
        }
    }

    /// Takes the bytes for all that will come.
    ///
    /// # Errors
    ///
    /// When there is no randomness to name them by.
    pub fn finish(self) -> Result<Received> {
        match self.0 {
            KeptAt::Disk(kept) => kept.finish(),
            KeptAt::Bucket(kept) => {
                let (store, content) = (Store::Bucket(kept.bucket.clone()), kept.content());
                Received::new(store, content, ReceivedBytes::Segments(kept))
            }
        }
    }
}
