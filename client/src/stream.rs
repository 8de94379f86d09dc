//! An upload's bytes that can be read once only, such as those of standard input.

use std::io::Read;

use bytes::Bytes;
use domain::{Content, ContentHasher};

use crate::{
    error::ClientError,
    source::{CHUNK_SIZE, Chunk, blocking},
};

/// What can be read once only, of which the last chunk is kept.
pub(super) struct Stream {
    /// None if reading failed.
    input: Option<Box<dyn Read + Send>>,
    /// Where the chunk begins that is kept.
    start: u64,
    buffered: Bytes,
    hasher: ContentHasher,
    ended: bool,
}

impl Stream {
    pub(super) fn new(input: Box<dyn Read + Send>) -> Self {
        Self {
            input: Some(input),
            start: 0,
            buffered: Bytes::new(),
            hasher: ContentHasher::default(),
            ended: false,
        }
    }

    /// What the bytes are, if all of them were read.
    pub(super) fn content(&self) -> Option<Content> {
        self.ended.then(|| self.hasher.clone().finish())
    }

    /// The bytes from an offset on that are kept, or those after them.
    pub(super) async fn chunk(&mut self, offset: u64) -> Result<Chunk, ClientError> {
        let end = self.start + self.buffered.len() as u64;
        if offset == end && !self.ended {
            self.read().await?;
        }
        let past = offset.checked_sub(self.start);
        let past = past.and_then(|past| usize::try_from(past).ok());
        let Some(past) = past.filter(|past| *past <= self.buffered.len()) else {
            return Err(ClientError::local(
                "the server lost what it had, and what was read cannot be read again",
            ));
        };
        let end = self.start + self.buffered.len() as u64;
        Ok(Chunk {
            bytes: self.buffered.slice(past..),
            total: self.ended.then_some(end),
        })
    }

    /// Replaces the chunk that is kept by the next.
    async fn read(&mut self) -> Result<(), ClientError> {
        let Some(mut input) = self.input.take() else {
            return Err(ClientError::local("it cannot be read any more"));
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
        self.ended = bytes.len() < CHUNK_SIZE;
        self.buffered = bytes.into();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use crate::*;

    fn stream(input: impl Read + Send + 'static) -> Stream {
        Stream::new(Box::new(input))
    }

    #[tokio::test]
    async fn of_a_stream_the_last_chunk_can_be_read_again() {
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
    async fn the_end_of_a_stream_may_be_learnt_after_its_last_byte() {
        let mut source = stream(io::Cursor::new(vec![1; CHUNK_SIZE]));
        assert_eq!(source.chunk(0).await.unwrap().total, None);
        let end = source.chunk(CHUNK_SIZE as u64).await.unwrap();
        assert_eq!((end.bytes.len(), end.total), (0, Some(CHUNK_SIZE as u64)));
        let mut empty = stream(io::empty());
        assert_eq!(empty.chunk(0).await.unwrap().total, Some(0));
    }
}
