//! Reading a content block by block: each is compared with its checksum before it is handed out.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use domain::{
    Address, ByteRange, StoredContent,
    block::{BLOCK_SIZE, BLOCKS_PER_GROUP, checksum},
};
use futures_util::{
    StreamExt as _, TryStreamExt as _,
    stream::{self, BoxStream},
};
use storage::{Error, Object};

use crate::FileService;

/// The bytes that are compared before a response begins, if there are as many.
const FIRST_BYTES: u64 = 4 * BLOCK_SIZE;

/// A content that is open for reading.
///
/// Its bytes are compared with the checksums of its blocks, once these are known.
#[derive(Clone)]
pub struct VerifiedObject {
    object: Object,
    source: Arc<Source>,
    /// The first bytes, and where they begin in the content.
    first: Option<(u64, Bytes)>,
}

/// The copy that is read, and what it should be.
struct Source {
    service: FileService,
    content: StoredContent,
    address: Address,
}

impl VerifiedObject {
    /// Takes an object that was opened for [`blocks_around`] a range, and compares its first bytes.
    pub(crate) async fn new(
        service: &FileService,
        content: &StoredContent,
        address: &Address,
        object: Object,
        range: ByteRange,
    ) -> Result<Self, Error> {
        let source = Arc::new(Source {
            service: service.clone(),
            content: content.clone(),
            address: address.clone(),
        });
        let start = blocks_around(content, range).start;
        let end = blocks_around(content, range).end.min(start + FIRST_BYTES);
        let first = object.ready(ByteRange { start, end });
        if let Some(bytes) = &first {
            source.verifier().verify(start, bytes).await?;
        }
        Ok(Self {
            object,
            source,
            first: first.map(|bytes| (start, bytes)),
        })
    }

    /// The content's size in bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.object.size()
    }

    /// Returns the bytes of a range if they have been read already.
    #[must_use]
    pub fn ready(&self, range: ByteRange) -> Option<Bytes> {
        let (start, bytes) = self.first.as_ref()?;
        let from = usize::try_from(range.start.checked_sub(*start)?).ok()?;
        let to = usize::try_from(range.end.checked_sub(*start)?).ok()?;
        (from <= to && to <= bytes.len()).then(|| bytes.slice(from..to))
    }

    /// Streams the bytes of a range. The stream ends with an error before a byte that is not what was
    /// stored.
    #[must_use]
    pub fn stream(self, range: ByteRange) -> BoxStream<'static, Result<Bytes, Error>> {
        if let Some(bytes) = self.ready(range) {
            return stream::iter([Ok(bytes)]).boxed();
        }
        if self.source.content.checksum.is_none() {
            return self.object.stream(range);
        }
        let blocks = blocks_around(&self.source.content, range);
        let reader = BlockReader {
            pieces: self.object.stream(blocks),
            verifier: self.source.verifier(),
            held: Bytes::new(),
            position: blocks.start,
            range,
        };
        stream::try_unfold(reader, BlockReader::next).boxed()
    }
}

/// The range of the blocks that contain a range; the range itself if the blocks have no checksums.
pub(crate) fn blocks_around(content: &StoredContent, range: ByteRange) -> ByteRange {
    if content.checksum.is_none() || range.length() == 0 {
        return range;
    }
    ByteRange {
        start: range.start / BLOCK_SIZE * BLOCK_SIZE,
        end: (range.end.div_ceil(BLOCK_SIZE) * BLOCK_SIZE).min(content.content.size),
    }
}

/// Returns the blocks of a stream after comparing them.
struct BlockReader {
    pieces: BoxStream<'static, Result<Bytes, Error>>,
    verifier: Verifier,
    /// Bytes that are no whole block yet.
    held: Bytes,
    /// The position of the held bytes in the content.
    position: u64,
    /// The bytes that are wanted of the blocks.
    range: ByteRange,
}

impl BlockReader {
    async fn next(mut self) -> Result<Option<(Bytes, Self)>, Error> {
        loop {
            let blocks = self.held.split_to(self.whole_blocks());
            if !blocks.is_empty() {
                self.verifier.verify(self.position, &blocks).await?;
                let wanted = self.wanted(&blocks);
                return Ok(Some((wanted, self)));
            }
            match self.pieces.try_next().await? {
                Some(piece) if self.held.is_empty() => self.held = piece,
                Some(piece) => {
                    let mut joined = BytesMut::from(std::mem::take(&mut self.held));
                    joined.extend_from_slice(&piece);
                    self.held = joined.freeze();
                }
                None => return Ok(None),
            }
        }
    }

    /// The number of held bytes that are whole blocks.
    fn whole_blocks(&self) -> usize {
        let held = self.held.len();
        if self.position + held as u64 == self.verifier.0.content.content.size {
            return held;
        }
        let block = usize::try_from(BLOCK_SIZE).unwrap_or(usize::MAX);
        held / block * block
    }

    /// Drops what is outside of the range from blocks that begin at the position, and goes on after
    /// them.
    fn wanted(&mut self, blocks: &Bytes) -> Bytes {
        let (start, length) = (self.position, blocks.len() as u64);
        self.position += length;
        let within = |at: u64| at.clamp(start, start + length) - start;
        let (from, to) = (within(self.range.start), within(self.range.end));
        let [from, to] = [from, to].map(|at| usize::try_from(at).unwrap_or(blocks.len()));
        blocks.slice(from..to)
    }
}

/// Compares blocks with their checksums.
struct Verifier(Arc<Source>, Option<(u64, Arc<[u32]>)>);

impl Source {
    fn verifier(self: &Arc<Self>) -> Verifier {
        Verifier(Arc::clone(self), None)
    }
}

impl Verifier {
    /// Compares blocks, which begin at a position in the content.
    async fn verify(&mut self, position: u64, blocks: &[u8]) -> Result<(), Error> {
        let block = usize::try_from(BLOCK_SIZE).unwrap_or(usize::MAX);
        for (number, bytes) in (position / BLOCK_SIZE..).zip(blocks.chunks(block)) {
            let expected = self.expected(number).await?;
            if expected.is_some_and(|expected| expected != checksum(bytes)) {
                let Source {
                    service,
                    content,
                    address,
                } = &*self.0;
                tracing::error!(%address, block = number, "a block of the object is damaged");
                service.settle_damage_later(content, address);
                return Err(Error::Damaged(address.key.clone()));
            }
        }
        Ok(())
    }

    /// The checksum of a block; `None` if it is not known.
    async fn expected(&mut self, number: u64) -> Result<Option<u32>, Error> {
        let content = &self.0.content;
        if content.checksum.is_none() || content.content.size <= BLOCK_SIZE {
            return Ok(content.checksum);
        }
        let per_group = BLOCKS_PER_GROUP as u64;
        let wanted = number / per_group;
        let group = match &self.1 {
            Some((loaded, group)) if *loaded == wanted => Arc::clone(group),
            _ => {
                let service = &self.0.service;
                let found = service.find_checksums(&content.content.sha1, wanted).await;
                let group =
                    found.map_err(|error| Error::Unavailable(std::io::Error::other(error)))?;
                self.1 = Some((wanted, Arc::clone(&group)));
                group
            }
        };
        let within = usize::try_from(number % per_group).unwrap_or(usize::MAX);
        Ok(group.get(within).copied())
    }
}
