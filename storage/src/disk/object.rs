//! Reading an object of a disk.

use std::{fs::File, io, path::Path, sync::Arc};

use bytes::Bytes;
use domain::ByteRange;
use futures_util::{StreamExt as _, stream, stream::BoxStream};
use rustix::{buffer::spare_capacity, fs::Advice};

use crate::{
    blocking::blocking,
    error::{Error, Result},
    memory::{Memory, Room},
    sizes::{READ_SIZE, SMALL_SIZE},
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
    /// The size of the pieces that are read.
    piece: u64,
    /// The memory of large pieces.
    _room: Option<Arc<Room>>,
}

impl DiskObject {
    fn new(file: File, size: u64, start: u64, memory: &Memory) -> Result<Self> {
        let (piece, room) = piece_size(size.saturating_sub(start), memory);
        let end = size.min(start.saturating_add(piece));
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
            piece,
            _room: room.map(Arc::new),
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

    /// Streams the bytes of a range. The next piece is read while one is being sent, unless memory is
    /// short.
    pub(crate) fn stream(mut self, range: ByteRange) -> BoxStream<'static, Result<Bytes>> {
        let size = self.piece;
        let count = range.length().div_ceil(size);
        let at_a_time = if size == READ_SIZE { 2 } else { 1 };
        stream::iter(0..count)
            .map(move |number| {
                let start = range.start + number * size;
                let piece = ByteRange {
                    start,
                    end: range.end.min(start + size),
                };
                let ready = self.ready(piece);
                // It is sent once.
                self.first = Bytes::new();
                let file = Arc::clone(&self.file);
                async move {
                    match ready {
                        Some(bytes) => Ok(bytes),
                        None => blocking(move || read(&file, piece)).await,
                    }
                }
            })
            .buffered(at_a_time)
            .boxed()
    }
}

/// The size of the pieces in which so many bytes are read, and their memory.
fn piece_size(bytes: u64, memory: &Memory) -> (u64, Option<Room>) {
    let small = SMALL_SIZE as u64;
    if bytes <= small || memory.is_unlimited() {
        return (READ_SIZE, None);
    }
    let all = usize::try_from(bytes.min(3 * READ_SIZE)).unwrap_or(usize::MAX);
    match memory.try_take(all) {
        Some(room) => (READ_SIZE, Some(room)),
        None => (small, None),
    }
}

/// Opens a file of a disk, which must have this size.
pub(super) fn open(
    path: &Path,
    key: &str,
    size: u64,
    start: u64,
    memory: &Memory,
) -> Result<DiskObject> {
    let file = File::open(path).map_err(|error| missing(error, key))?;
    let found = file.metadata()?.len();
    if found != size {
        return Err(Error::WrongSize {
            key: key.to_owned(),
            expected: size,
            found,
        });
    }
    DiskObject::new(file, size, start, memory)
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
