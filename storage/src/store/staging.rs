//! Staging the bytes of a new object.

use domain::{Address, BlockChecksums, Content, ContentHasher};

use super::{backend::Store, uncommitted::UncommittedObject};
use crate::{
    blocking::blocking,
    boxed,
    bucket::{self, Bucket, multipart::MultipartWriter},
    disk::{self, Disk, stage::StagedFileWriter},
    error::Result,
    memory::{Buffer, Room},
    sizes::SMALL_SIZE,
};

/// Hashes and stages the bytes of a new object.
///
/// An object that fits into one batch is kept in memory until its content is known to be new.
/// Dropping the writer removes its bytes.
pub struct StagingWriter {
    /// The content, if the caller knows it. Nothing is hashed then.
    known: Option<Content>,
    /// The largest number of bytes that the object can have.
    most: Option<u64>,
    bytes: Staging,
}

enum Staging {
    InMemory(Store, Buffer),
    Disk(Disk, Box<StagedFileWriter>),
    Bucket(Bucket, Box<MultipartWriter>),
}

/// A staged object, whose content is known. It is not durable yet.
pub struct StagedObject {
    key: String,
    /// The content.
    pub content: Content,
    /// The checksums of its blocks, if all bytes were hashed in one pass.
    pub checksums: Option<BlockChecksums>,
    bytes: StagedBytes,
}

pub(super) enum StagedBytes {
    Disk(Disk, disk::commit::ObjectSource),
    Bucket(Bucket, bucket::commit::ObjectSource),
}

impl Store {
    /// Returns a writer for a new object, of at most so many bytes if they are known.
    #[must_use]
    pub fn writer(&self, most: Option<u64>) -> StagingWriter {
        StagingWriter::new(self.clone(), None, most)
    }

    /// Returns a writer for a new object whose content is already known. The bytes are not hashed:
    /// the caller must read the object back before it counts.
    #[must_use]
    pub fn writer_for(&self, content: Content) -> StagingWriter {
        StagingWriter::new(self.clone(), Some(content), Some(content.size))
    }
}

impl StagingWriter {
    fn new(store: Store, known: Option<Content>, most: Option<u64>) -> Self {
        let buffer = Buffer::new(store.memory());
        Self {
            known,
            most,
            bytes: Staging::InMemory(store, buffer),
        }
    }

    /// Waits for the memory of an object that is copied. Who has other memory must not wait here.
    #[boxed]
    pub async fn wait_for_memory(&mut self) {
        if let Staging::InMemory(Store::Bucket(bucket), filling) = &mut self.bytes
            && self.most.is_none_or(|most| most > SMALL_SIZE as u64)
        {
            filling.give(bucket.memory().take(bucket.memory_needed(self.most)).await);
        }
    }

    /// Takes the next bytes.
    ///
    /// # Errors
    ///
    /// [`Error::Full`](crate::Error::Full) if the store is full, or any other error of the store.
    #[boxed]
    pub async fn write(&mut self, bytes: &[u8]) -> Result<()> {
        if let Staging::InMemory(store, filling) = &mut self.bytes {
            if let Store::Bucket(bucket) = store
                && filling.outgrows_small(bytes)
            {
                let needed = bucket.memory_needed(self.most);
                filling.give(bucket.memory().take_in_time(needed).await?);
            }
            let rest = filling.fill(bytes);
            if rest.is_empty() {
                return Ok(());
            }
            let mut filled = filling.take();
            let room = filled.take_room();
            self.bytes = Staging::begin(store, self.known.is_some(), room).await?;
            self.bytes.write(filled.as_ref()).await?;
            return self.bytes.write(rest).await;
        }
        self.bytes.write(bytes).await
    }

    /// Ends the object, and determines its content.
    ///
    /// # Errors
    ///
    /// As [`StagingWriter::write`].
    #[boxed]
    pub async fn finish(self) -> Result<StagedObject> {
        let (hasher, bytes) = match self.bytes {
            Staging::InMemory(store, mut filled) => {
                let bytes = filled.take().freeze();
                let hasher = if self.known.is_some() {
                    ContentHasher::default()
                } else {
                    hash(bytes.clone()).await?
                };
                (hasher, StagedBytes::in_memory(store, bytes))
            }
            Staging::Disk(disk, writer) => {
                let (hasher, file) = writer.finish().await?;
                let source = disk::commit::ObjectSource::File(file);
                (hasher, StagedBytes::Disk(disk, source))
            }
            Staging::Bucket(bucket, mut writer) => {
                let hasher = writer.settle().await?;
                let source = bucket::commit::ObjectSource::Multipart(writer);
                (hasher, StagedBytes::Bucket(bucket, source))
            }
        };
        match self.known {
            Some(content) => StagedObject::new(content, None, bytes),
            None => StagedObject::hashed(hasher, bytes),
        }
    }
}

impl Staging {
    /// Starts to stage an object that does not fit into memory. In a bucket its parts take up the room.
    async fn begin(store: &Store, is_known: bool, room: Option<Room>) -> Result<Self> {
        match store {
            Store::Disk(disk) => {
                let writer = disk.stage(is_known).await?;
                Ok(Self::Disk(disk.clone(), Box::new(writer)))
            }
            Store::Bucket(bucket) => {
                let writer = MultipartWriter::new(bucket, is_known, room).await?;
                Ok(Self::Bucket(bucket.clone(), Box::new(writer)))
            }
        }
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<()> {
        match self {
            Self::Disk(_, writer) => writer.write(bytes).await,
            Self::Bucket(_, writer) => writer.write(bytes).await,
            Self::InMemory(_, filling) => {
                filling.fill(bytes);
                Ok(())
            }
        }
    }
}

impl StagedBytes {
    fn in_memory(store: Store, bytes: bytes::Bytes) -> Self {
        match store {
            Store::Disk(disk) => Self::Disk(disk, disk::commit::ObjectSource::InMemory(bytes)),
            Store::Bucket(bucket) => {
                Self::Bucket(bucket, bucket::commit::ObjectSource::InMemory(bytes))
            }
        }
    }
}

impl StagedObject {
    /// # Errors
    ///
    /// If the system has no randomness for a key.
    pub(super) fn hashed(mut hasher: ContentHasher, bytes: StagedBytes) -> Result<Self> {
        let checksums = hasher.take_checksums();
        Self::new(hasher.finish(), checksums, bytes)
    }

    fn new(
        content: Content,
        checksums: Option<BlockChecksums>,
        bytes: StagedBytes,
    ) -> Result<Self> {
        let key = match &bytes {
            StagedBytes::Disk(..) => Disk::fresh_key(&content.sha1)?,
            StagedBytes::Bucket(_, bucket::commit::ObjectSource::Multipart(writer)) => {
                writer.key.clone()
            }
            StagedBytes::Bucket(..) => Bucket::fresh_key()?,
        };
        Ok(Self {
            key,
            content,
            checksums,
            bytes,
        })
    }

    /// Returns the object's address, and whether the caller must record it before
    /// [persisting](Self::persist) the object, since the store has no marks of its own.
    #[must_use]
    pub fn address(&self) -> (Address, bool) {
        let key = self.key.clone();
        match &self.bytes {
            StagedBytes::Disk(disk, _) => (disk.address(key), false),
            StagedBytes::Bucket(bucket, _) => (bucket.address(key), true),
        }
    }

    /// Makes the object durable at its address.
    ///
    /// # Errors
    ///
    /// [`Error::Full`](crate::Error::Full) if the store is full, or any other error of the store.
    /// After an error nothing is left of the object, except for the staged bytes of a resumable
    /// upload.
    #[boxed]
    pub async fn persist(self) -> Result<UncommittedObject> {
        match self.bytes {
            StagedBytes::Disk(disk, source) => Ok(disk.persist(source, self.key).await?.into()),
            StagedBytes::Bucket(bucket, source) => {
                let size = self.content.size;
                bucket.persist(source, &self.key, size).await?;
                Ok(UncommittedObject::in_bucket(bucket, self.key))
            }
        }
    }
}

async fn hash(bytes: bytes::Bytes) -> Result<ContentHasher> {
    blocking(move || {
        let mut hasher = ContentHasher::default();
        hasher.update(&bytes);
        Ok(hasher)
    })
    .await
}
