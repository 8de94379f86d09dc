//! Reading an object of a disk.

use std::{fs::File, io, path::Path, sync::Arc};

use bytes::Bytes;
use domain::ByteRange;
use futures_util::{StreamExt as _, stream, stream::BoxStream};
use rustix::{buffer::spare_capacity, fs::Advice};

use crate::{
    blocking::blocking,
    error::{Error, Result},
    sizes::READ_SIZE,
};

/// An open object on a disk. Its first bytes have been read.
///
/// It can be read to its end even if it is removed meanwhile.
#[derive(Clone)]
pub struct DiskObject {
    file: Arc<File>,
    size: u64,
    start: u64,
    first: Bytes,
}

impl DiskObject {
    fn new(file: File, size: u64, start: u64) -> Result<Self> {
        let end = size.min(start.saturating_add(READ_SIZE));
        if end < size {
            // Only a hint; nothing depends on its success.
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

    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// Returns the bytes of a range if they have been read already.
    pub(crate) fn ready(&self, range: ByteRange) -> Option<Bytes> {
        let length = usize::try_from(range.length()).ok()?;
        (range.start == self.start && length <= self.first.len())
            .then(|| self.first.slice(..length))
    }

    /// Streams the bytes of a range. The next piece is read while one is being sent.
    pub(crate) fn stream(self, range: ByteRange) -> BoxStream<'static, Result<Bytes>> {
        let count = range.length().div_ceil(READ_SIZE);
        stream::iter(0..count)
            .map(move |number| {
                let start = range.start + number * READ_SIZE;
                let object = self.clone();
                let piece = ByteRange {
                    start,
                    end: range.end.min(start + READ_SIZE),
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

/// Opens a file that must have this size.
pub(super) fn open(path: &Path, key: &str, size: u64, start: u64) -> Result<DiskObject> {
    let file = File::open(path).map_err(|error| missing(error, key))?;
    let found = file.metadata()?.len();
    if found != size {
        return Err(Error::WrongSize {
            key: key.to_owned(),
            expected: size,
            found,
        });
    }
    DiskObject::new(file, size, start)
}

/// Turns "not found" into [`Error::Missing`].
pub(super) fn missing(error: io::Error, key: &str) -> Error {
    if error.kind() == io::ErrorKind::NotFound {
        Error::Missing(key.to_owned())
    } else {
        error.into()
    }
}

fn read(file: &File, range: ByteRange) -> Result<Bytes> {
    let length = range.length();
    let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or(usize::MAX));
    while (bytes.len() as u64) < length {
        let offset = range.start + bytes.len() as u64;
        if rustix::io::pread(file, spare_capacity(&mut bytes), offset)? == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
    }
    bytes.truncate(usize::try_from(length).unwrap_or(usize::MAX));
    Ok(bytes.into())
}
