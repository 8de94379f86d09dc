//! Appending bytes to a resumable upload.

use domain::Content;

use super::staging::{StagedBytes, StagedObject};
use crate::{
    boxed,
    bucket::{
        self,
        segments::{SegmentAppendOutcome, SegmentWriter, SegmentedUpload},
    },
    disk::uploads::append::{DiskAppendOutcome, DiskAppendWriter, DiskAppendedBytes},
    error::Result,
};

/// Appends bytes to an upload. No other request can append meanwhile.
///
/// Dropping it keeps the bytes, unless they were to be verified.
pub struct AppendWriter(Writer);

enum Writer {
    Disk(Box<DiskAppendWriter>),
    Bucket(Box<SegmentWriter>),
}

/// The outcome of an append.
pub enum AppendOutcome {
    /// The bytes are kept. These are all bytes of the upload so far.
    Appended(Box<AppendedBytes>),
    /// The bytes do not match the checksum, and were dropped. The upload has this many bytes.
    ChecksumMismatch(u64),
}

/// All bytes of an upload so far.
pub struct AppendedBytes(Appended);

enum Appended {
    Disk(Box<DiskAppendedBytes>),
    Bucket(Box<SegmentedUpload>),
}

impl AppendWriter {
    /// The upload's size in bytes, including those that were appended.
    #[must_use]
    pub fn offset(&self) -> u64 {
        match &self.0 {
            Writer::Disk(writer) => writer.offset(),
            Writer::Bucket(writer) => writer.offset(),
        }
    }

    /// Returns whether another request waits for the upload, or has taken it over.
    ///
    /// # Errors
    ///
    /// If the store fails.
    #[boxed]
    pub async fn is_superseded(&self) -> Result<bool> {
        match &self.0 {
            Writer::Disk(writer) => writer.is_superseded().await,
            Writer::Bucket(writer) => writer.is_superseded().await,
        }
    }

    /// Takes the next bytes.
    ///
    /// # Errors
    ///
    /// [`Error::Full`](crate::Error::Full) if the store is full, or any other error of the store.
    #[boxed]
    pub async fn write(&mut self, bytes: &[u8]) -> Result<()> {
        match &mut self.0 {
            Writer::Disk(writer) => writer.write(bytes).await,
            Writer::Bucket(writer) => writer.write(bytes).await,
        }
    }

    /// Ends the append after all bytes of the request. `is_last` if they complete the upload.
    ///
    /// # Errors
    ///
    /// As [`AppendWriter::write`].
    #[boxed]
    pub async fn end(self, is_last: bool) -> Result<AppendOutcome> {
        Ok(match self.0 {
            Writer::Disk(writer) => match writer.end().await? {
                DiskAppendOutcome::Appended(appended) => {
                    AppendOutcome::Appended(Box::new(AppendedBytes(Appended::Disk(appended))))
                }
                DiskAppendOutcome::ChecksumMismatch(offset) => {
                    AppendOutcome::ChecksumMismatch(offset)
                }
            },
            Writer::Bucket(writer) => match writer.end(is_last).await? {
                SegmentAppendOutcome::Appended(appended) => {
                    AppendOutcome::Appended(Box::new(AppendedBytes(Appended::Bucket(appended))))
                }
                SegmentAppendOutcome::ChecksumMismatch(offset) => {
                    AppendOutcome::ChecksumMismatch(offset)
                }
            },
        })
    }

    /// Ends the append before all bytes of the request arrived. Returns the upload's offset.
    ///
    /// Bytes that could not be verified are dropped, all others are kept.
    ///
    /// # Errors
    ///
    /// As [`AppendWriter::write`].
    #[boxed]
    pub async fn suspend(self) -> Result<u64> {
        match self.0 {
            Writer::Disk(writer) => writer.suspend().await,
            Writer::Bucket(writer) => writer.suspend().await,
        }
    }
}

impl From<DiskAppendWriter> for AppendWriter {
    fn from(writer: DiskAppendWriter) -> Self {
        Self(Writer::Disk(Box::new(writer)))
    }
}

impl From<SegmentWriter> for AppendWriter {
    fn from(writer: SegmentWriter) -> Self {
        Self(Writer::Bucket(Box::new(writer)))
    }
}

impl AppendedBytes {
    /// The number of bytes.
    #[must_use]
    pub fn offset(&self) -> u64 {
        match &self.0 {
            Appended::Disk(appended) => appended.offset(),
            Appended::Bucket(appended) => appended.offset(),
        }
    }

    /// The content that the bytes are.
    #[must_use]
    pub fn content(&self) -> Content {
        match &self.0 {
            Appended::Disk(appended) => appended.content(),
            Appended::Bucket(appended) => appended.content(),
        }
    }

    /// Waits until the bytes are durable, and records it.
    ///
    /// # Errors
    ///
    /// If the store fails. None of the bytes count then.
    #[boxed]
    pub async fn sync(&self) -> Result<()> {
        match &self.0 {
            Appended::Disk(appended) => appended.sync().await,
            // Segments are durable once they are written.
            Appended::Bucket(_) => Ok(()),
        }
    }

    /// Takes the bytes as a complete object.
    ///
    /// # Errors
    ///
    /// If the system has no randomness for a key.
    pub fn finish(self) -> Result<StagedObject> {
        match self.0 {
            Appended::Disk(appended) => {
                let (disk, hasher, source) = appended.finish();
                StagedObject::hashed(hasher, StagedBytes::Disk(disk, source))
            }
            Appended::Bucket(appended) => {
                let (bucket, hasher) = (appended.bucket().clone(), appended.hasher());
                let source = bucket::commit::ObjectSource::Segments(appended);
                StagedObject::hashed(hasher, StagedBytes::Bucket(bucket, source))
            }
        }
    }
}
