//! Reading from an object.

use std::{fs::File, sync::Arc};

use bytes::Bytes;
use domain::ByteRange;
use futures_util::{Stream, StreamExt as _, stream};
use rustix::{buffer::spare_capacity, fs::Advice};

use crate::{Result, error::blocking};

/// How many bytes are read at a time.
const PIECE: u64 = 256 * 1024;

/// An object that is open for reading.
///
/// It can be read to its end even if it is removed meanwhile. The first piece is there already.
#[derive(Debug, Clone)]
pub struct Object {
    file: Arc<File>,
    size: u64,
    start: u64,
    first: Bytes,
}

impl Object {
    pub(crate) fn new(file: File, size: u64, start: u64) -> Result<Self> {
        let end = size.min(start.saturating_add(PIECE));
        if end < size {
            // A hint, which nothing depends on.
            let _ = rustix::fs::fadvise(&file, start, None, Advice::Sequential);
        }
        let range = ByteRange {
            start: start.min(end),
            end,
        };
        let first = read(&file, range)?;
        Ok(Self {
            file: Arc::new(file),
            size,
            start,
            first,
        })
    }

    /// How many bytes it has.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The bytes of a range, if they are there already.
    #[must_use]
    pub fn ready(&self, range: ByteRange) -> Option<Bytes> {
        let length = usize::try_from(range.length()).ok()?;
        (range.start == self.start && length <= self.first.len())
            .then(|| self.first.slice(..length))
    }

    /// The bytes of a range, piece by piece; the next piece is read while one is being sent.
    pub fn stream(self, range: ByteRange) -> impl Stream<Item = Result<Bytes>> + use<> {
        let count = range.length().div_ceil(PIECE);
        stream::iter(0..count)
            .map(move |number| {
                let start = range.start + number * PIECE;
                let object = self.clone();
                let piece = ByteRange {
                    start,
                    end: range.end.min(start + PIECE),
                };
                async move {
                    match object.ready(piece) {
                        Some(bytes) => Ok(bytes),
                        None => blocking(move || read(&object.file, piece)).await,
                    }
                }
            })
            .buffered(2)
    }
}

fn read(file: &File, range: ByteRange) -> Result<Bytes> {
    let length = range.length();
    let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or(usize::MAX));
    while (bytes.len() as u64) < length {
        let offset = range.start + bytes.len() as u64;
        if rustix::io::pread(file, spare_capacity(&mut bytes), offset)? == 0 {
            return Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into());
        }
    }
    bytes.truncate(usize::try_from(length).unwrap_or(usize::MAX));
    Ok(bytes.into())
}
