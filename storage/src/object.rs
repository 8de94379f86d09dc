//! Reading from an object.

use std::{fs::File, sync::Arc};

use bytes::Bytes;
use domain::ByteRange;
use futures_util::{StreamExt as _, stream, stream::BoxStream};
use rustix::{buffer::spare_capacity, fs::Advice};

use crate::{Bucket, Result, Segment, bucket::Remote, error::blocking};

/// How many bytes are read at a time.
pub(crate) const PIECE: u64 = 256 * 1024;

/// An object that is open for reading.
///
/// On a disk it can be read to its end even if it is removed meanwhile. The first piece is there
/// already.
#[derive(Clone)]
pub struct Object(Source);

#[derive(Clone)]
enum Source {
    File(OpenFile),
    Remote(Box<Remote>),
    Segments(Remains),
}

#[derive(Clone)]
struct OpenFile {
    file: Arc<File>,
    size: u64,
    start: u64,
    first: Bytes,
}

/// What is staged of an upload in a bucket.
#[derive(Clone)]
pub(crate) struct Remains {
    pub(crate) bucket: Bucket,
    pub(crate) size: u64,
    pub(crate) segments: Vec<Segment>,
}

impl Object {
    pub(crate) fn remote(remote: Remote) -> Self {
        Self(Source::Remote(Box::new(remote)))
    }

    pub(crate) fn segments(remains: Remains) -> Self {
        Self(Source::Segments(remains))
    }

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
        Ok(Self(Source::File(OpenFile {
            file: Arc::new(file),
            size,
            start,
            first,
        })))
    }

    /// How many bytes it has.
    #[must_use]
    pub fn size(&self) -> u64 {
        match &self.0 {
            Source::File(file) => file.size,
            Source::Remote(remote) => remote.size(),
            Source::Segments(remains) => remains.size,
        }
    }

    /// The bytes of a range, if they are there already.
    #[must_use]
    pub fn ready(&self, range: ByteRange) -> Option<Bytes> {
        match &self.0 {
            Source::File(file) => file.ready(range),
            Source::Remote(remote) => remote.ready(range),
            Source::Segments(_) => None,
        }
    }

    /// The bytes of a range, piece by piece; the next piece is read while one is being sent.
    #[must_use]
    pub fn stream(self, range: ByteRange) -> BoxStream<'static, Result<Bytes>> {
        match self.0 {
            Source::File(file) => file.stream(range),
            Source::Remote(remote) => remote.stream(range),
            Source::Segments(remains) => remains.bucket.read_segments(remains.segments, range),
        }
    }
}

impl OpenFile {
    fn ready(&self, range: ByteRange) -> Option<Bytes> {
        let length = usize::try_from(range.length()).ok()?;
        (range.start == self.start && length <= self.first.len())
            .then(|| self.first.slice(..length))
    }

    fn stream(self, range: ByteRange) -> BoxStream<'static, Result<Bytes>> {
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
            .boxed()
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
