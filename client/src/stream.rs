//! A source that can be read only once, such as standard input.

use std::io::Read;

use bytes::Bytes;
use domain::{Content, ContentHasher};

use crate::{
    chunk::{CHUNK_SIZE, Chunk, blocking},
    error::ClientError,
};

/// A source that can be read only once; it keeps its last chunk, so that a request can be repeated.
pub(super) struct StreamSource {
    /// `None` after a read failed.
    input: Option<Box<dyn Read + Send>>,
    /// The offset of the buffered chunk.
    start: u64,
    buffered: Bytes,
    hasher: ContentHasher,
    is_at_end: bool,
}

impl StreamSource {
    pub(super) fn new(input: Box<dyn Read + Send>) -> Self {
        Self {
            input: Some(input),
            start: 0,
            buffered: Bytes::new(),
            hasher: ContentHasher::without_checksums(),
            is_at_end: false,
        }
    }

    /// The digests and the size of the source, once all bytes were read.
    pub(super) fn content(&self) -> Option<Content> {
        self.is_at_end.then(|| self.hasher.clone().finish())
    }

    /// Returns the buffered bytes from an offset on, or reads the chunk after them.
    ///
    /// # Errors
    ///
    /// If the offset is not within the buffered chunk or at its end, or the input cannot be read.
    pub(super) async fn chunk(&mut self, offset: u64) -> Result<Chunk, ClientError> {
        let end = self.start + self.buffered.len() as u64;
        if offset == end && !self.is_at_end {
            self.read().await?;
        }
        let skip = offset.checked_sub(self.start);
        let skip = skip.and_then(|skip| usize::try_from(skip).ok());
        let Some(skip) = skip.filter(|skip| *skip <= self.buffered.len()) else {
            return Err(ClientError::local(
                "the server lost bytes of the upload, and the input cannot be read again",
            ));
        };
        let end = self.start + self.buffered.len() as u64;
        Ok(Chunk {
            bytes: self.buffered.slice(skip..),
            total: self.is_at_end.then_some(end),
        })
    }

    /// Replaces the buffered chunk by the next one.
    async fn read(&mut self) -> Result<(), ClientError> {
        let Some(mut input) = self.input.take() else {
            return Err(ClientError::local("the input failed before"));
        };
        let mut hasher = self.hasher.clone();
        let read = move || {
            let mut bytes = Vec::with_capacity(CHUNK_SIZE);
            input
                .by_ref()
                .take(CHUNK_SIZE as u64)
                .read_to_end(&mut bytes)?;
            hasher.update(&bytes);
            Ok((input, hasher, bytes))
        };
        self.start += self.buffered.len() as u64;
        self.buffered = Bytes::new();
        let (input, hasher, bytes) = blocking(read).await?;
        self.input = Some(input);
        self.hasher = hasher;
        self.is_at_end = bytes.len() < CHUNK_SIZE;
        self.buffered = bytes.into();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    fn stream(input: impl Read + Send + 'static) -> StreamSource {
        StreamSource::new(Box::new(input))
    }

    #[tokio::test]
    async fn the_last_chunk_of_a_stream_can_be_read_again() {
        let bytes: Vec<u8> = (0..CHUNK_SIZE + 10).map(|at| at.to_le_bytes()[1]).collect();
        let mut source = stream(io::Cursor::new(bytes.clone()));
        let first = source.chunk(0).await.unwrap();
        assert_eq!((first.bytes.len(), first.total), (CHUNK_SIZE, None));
        let again = source.chunk(5).await.unwrap();
        assert_eq!(again.bytes, bytes[5..CHUNK_SIZE]);
        assert!(source.content().is_none());
        let last = source.chunk(CHUNK_SIZE as u64).await.unwrap();
        let size = bytes.len() as u64;
        assert_eq!((last.bytes.len(), last.total), (10, Some(size)));
        assert_eq!(source.chunk(size).await.unwrap().bytes.len(), 0);
        assert!(source.chunk(5).await.is_err());
        assert!(source.chunk(size + 1).await.is_err());
        assert_eq!(source.content().unwrap().size, size);
    }

    #[tokio::test]
    async fn the_end_of_a_stream_may_be_found_after_its_last_byte() {
        let mut source = stream(io::Cursor::new(vec![1; CHUNK_SIZE]));
        assert_eq!(source.chunk(0).await.unwrap().total, None);
        let end = source.chunk(CHUNK_SIZE as u64).await.unwrap();
        assert_eq!((end.bytes.len(), end.total), (0, Some(CHUNK_SIZE as u64)));
        let mut empty = stream(io::empty());
        assert_eq!(empty.chunk(0).await.unwrap().total, Some(0));
    }
}
