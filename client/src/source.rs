//! The sources of uploads: a file, which can be read again, or a stream, which cannot.

use std::{
    fs::File,
    io::{self, Read},
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use domain::{Content, ContentHasher};

use crate::{
    chunk::{CHUNK_SIZE, Chunk, blocking},
    error::ClientError,
    observer::Observer,
    stream::StreamSource,
};

/// The number of bytes that are read and hashed at once.
const READ_SIZE: usize = 1024 * 1024;

/// The input of an upload.
pub enum Input {
    /// A file, which can be read repeatedly.
    File {
        /// The opened file.
        file: File,
        /// Its path, by which an upload of it is remembered.
        path: Option<PathBuf>,
    },
    /// An input that can be read only once, such as a pipe.
    Stream(Box<dyn Read + Send>),
}

impl Input {
    /// Opens a path; one that is no regular file, such as a pipe, is a stream.
    ///
    /// # Errors
    ///
    /// If the path cannot be opened, or is a folder.
    pub fn open(path: &Path) -> Result<Self, ClientError> {
        let file = File::open(path).map_err(ClientError::local)?;
        let kind = file.metadata().map_err(ClientError::local)?.file_type();
        if kind.is_dir() {
            return Err(ClientError::local("a folder cannot be uploaded"));
        }
        Ok(if kind.is_file() {
            Self::File {
                file,
                path: Some(path.to_owned()),
            }
        } else {
            Self::Stream(Box::new(file))
        })
    }
}

/// The source of an upload.
pub(super) enum Source {
    File(HashedFile),
    Stream(Box<StreamSource>),
}

impl Source {
    /// The digests and the size of the source, once all bytes were read.
    pub(super) fn content(&self) -> Option<Content> {
        match self {
            Self::File(file) => Some(file.content),
            Self::Stream(stream) => stream.content(),
        }
    }

    /// Reads the bytes at an offset.
    ///
    /// # Errors
    ///
    /// If they cannot be read, or a stream has passed them.
    pub(super) async fn chunk(&mut self, offset: u64) -> Result<Chunk, ClientError> {
        match self {
            Self::File(file) => file.chunk(offset).await,
            Self::Stream(stream) => stream.chunk(offset).await,
        }
    }
}

/// A file, with its digests and size at the time when it was hashed.
pub(super) struct HashedFile {
    pub(super) file: Arc<File>,
    pub(super) content: Content,
}

impl HashedFile {
    /// Reads a file once, and computes its digests.
    pub(super) async fn hash(
        file: File,
        observer: &Arc<dyn Observer>,
    ) -> Result<Self, ClientError> {
        let observer = Arc::clone(observer);
        let hash = move || {
            let (mut hasher, mut offset) = (ContentHasher::without_checksums(), 0);
            loop {
                let bytes = read_at(&file, offset, READ_SIZE)?;
                if bytes.is_empty() {
                    return Ok((file, hasher.finish()));
                }
                hasher.update(&bytes);
                offset += bytes.len() as u64;
                observer.advance(offset);
            }
        };
        let (file, content) = blocking(hash).await?;
        Ok(Self {
            file: Arc::new(file),
            content,
        })
    }

    async fn chunk(&self, offset: u64) -> Result<Chunk, ClientError> {
        let rest = self.content.size.saturating_sub(offset);
        let size = usize::try_from(rest).unwrap_or(CHUNK_SIZE).min(CHUNK_SIZE);
        let file = self.file.clone();
        let bytes = blocking(move || read_at(&file, offset, size)).await?;
        if bytes.len() < size {
            return Err(ClientError::local("the file shrank while it was uploaded"));
        }
        Ok(Chunk {
            bytes: bytes.into(),
            total: Some(self.content.size),
        })
    }
}

/// Reads `size` bytes, or fewer at the end of the file.
pub(super) fn read_at(file: &File, offset: u64, size: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; size];
    let mut filled = 0;
    while filled < size {
        match file.read_at(&mut bytes[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    bytes.truncate(filled);
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_file_is_read_at_any_offset_and_must_not_shrink() {
        let path = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(&path, b"abc").unwrap();
        let opened = File::open(path.path()).unwrap();
        let file = HashedFile::hash(opened, &(Arc::new(()) as Arc<dyn Observer>))
            .await
            .unwrap();
        assert_eq!(file.content.size, 3);
        let sha1 = "a9993e364706816aba3e25717850c26c9cd0d89d";
        assert_eq!(file.content.sha1.to_string(), sha1);
        assert_eq!(file.chunk(1).await.unwrap().bytes, "bc");
        std::fs::write(&path, b"a").unwrap();
        assert!(file.chunk(0).await.is_err());
    }
}
