//! The bytes of an upload that can be resumed, as a row of objects.
//!
//! Each is written under a key of its own, and counts when the [`Ledger`] says so: so whoever goes
//! on with the upload, in whichever process, sees how far it is, and somebody who was superseded
//! changes nothing any more. At the end they become one object; a store that can do so copies them
//! by itself.

use std::mem;

use bytes::{Bytes, BytesMut};
use domain::{Checksum, Content, ContentHasher, RandomId};
use futures_util::{StreamExt as _, future::BoxFuture, stream::BoxStream};
use tokio::{
    runtime::Handle,
    task::{JoinHandle, spawn_blocking},
};
use tracing::Instrument as _;

use super::{Bucket, reading};
use crate::{Error, Result, meter::Operation, pipeline::Hashes};

/// How many parts are copied into the object at a time.
const COPIES_AT_ONCE: usize = 4;

/// From how many small segments on they are made one.
const MANY: usize = 8;

/// What is small whatever came before it.
const SMALL: u64 = 64 * 1024;

/// Some of an upload's bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// Where in the upload they begin.
    pub start: u64,
    /// How many they are.
    pub size: u64,
    /// The object that has them.
    pub key: String,
}

/// What counts of an upload.
#[derive(Debug, Clone, Default)]
pub struct Known {
    /// How many bytes.
    pub bytes: u64,
    /// What they have come to; `None` of none.
    pub hash_state: Option<Vec<u8>>,
    /// Where they are, in their order.
    pub segments: Vec<Segment>,
}

/// What changes of what counts of an upload.
#[derive(Debug, Clone, Default)]
pub struct Step {
    /// How many bytes there are now.
    pub bytes: u64,
    /// What they have come to.
    pub hash_state: Vec<u8>,
    /// The segments that are new.
    pub added: Vec<Segment>,
    /// Where those begin that they take the place of.
    pub removed: Vec<u64>,
}

/// Where it is kept what counts of an upload, for all processes.
pub trait Ledger: Send + Sync {
    /// Notes a step; gives whether it counts, which it does not if somebody else goes on with the
    /// upload by now.
    fn advance<'a>(&'a self, step: &'a Step) -> BoxFuture<'a, Result<bool>>;

    /// Whether somebody else goes on with the upload.
    fn is_superseded(&self) -> BoxFuture<'_, Result<bool>>;
}

/// An upload that bytes are being appended to.
pub(crate) struct SegmentAppending(Option<Open>);

struct Open {
    bucket: Bucket,
    id: RandomId,
    ledger: Box<dyn Ledger>,
    /// What the upload had before.
    before: u64,
    segments: Vec<Segment>,
    hashes: Box<Hashes>,
    is_verified: bool,
    appended: u64,
    filling: BytesMut,
    is_gathered: bool,
    /// Where what fills begins, how much of it is hashed already, and what it takes the place of.
    start: u64,
    refilled: usize,
    replaced: Vec<Segment>,
    flying: Option<JoinHandle<Result<Flown>>>,
    /// It is not known whether a segment counts: what comes after it must not.
    is_broken: bool,
    /// What is to be verified first.
    held: Step,
}

/// A segment that has arrived.
struct Flown {
    segment: Segment,
    hashes: Box<Hashes>,
    replaced: Vec<Segment>,
}

/// What came of appending.
pub(crate) enum SegmentEnd {
    Kept(Box<JoinedSegments>),
    WrongChecksum(u64),
}

/// An upload's bytes so far.
pub(crate) struct JoinedSegments {
    pub(crate) bucket: Bucket,
    pub(crate) hasher: ContentHasher,
    segments: Vec<Segment>,
    /// All of them, if they are few and the last.
    memory: Option<Bytes>,
}

impl Bucket {
    /// Goes on with an upload, whose bytes from here on are to have these checksums.
    pub(crate) fn append(
        &self,
        id: RandomId,
        known: Known,
        ledger: Box<dyn Ledger>,
        checksums: Vec<Checksum>,
    ) -> Result<SegmentAppending> {
        let content = match &known.hash_state {
            None => ContentHasher::default(),
            Some(state) => ContentHasher::restore(state).ok_or_else(damaged)?,
        };
        if content.size() != known.bytes {
            return Err(damaged());
        }
        Ok(SegmentAppending(Some(Open {
            bucket: self.clone(),
            id,
            ledger,
            before: known.bytes,
            start: known.bytes,
            segments: known.segments,
            is_verified: !checksums.is_empty(),
            hashes: Box::new(Hashes {
                content,
                checksums: checksums.into_iter().map(Checksum::verifier).collect(),
                is_needless: false,
            }),
            appended: 0,
            filling: BytesMut::new(),
            is_gathered: false,
            refilled: 0,
            replaced: Vec::new(),
            flying: None,
            is_broken: false,
            held: Step::default(),
        })))
    }

    /// Reads segments, one after the other.
    pub(crate) fn read_segments(
        &self,
        segments: Vec<Segment>,
        range: domain::ByteRange,
    ) -> BoxStream<'static, Result<Bytes>> {
        reading::stream_of_segments(self, segments, range)
    }
}

impl SegmentAppending {
    pub(crate) fn offset(&self) -> u64 {
        self.0
            .as_ref()
            .map_or(0, |open| open.before + open.appended)
    }

    pub(crate) async fn is_wanted(&self) -> Result<bool> {
        match &self.0 {
            Some(open) => open.ledger.is_superseded().await,
            None => Ok(false),
        }
    }

    pub(crate) async fn write(&mut self, bytes: &[u8]) -> Result<()> {
        match &mut self.0 {
            Some(open) => open.write(bytes).await,
            None => Ok(()),
        }
    }

    /// Ends appending; `is_last` if the upload is complete with it.
    pub(crate) async fn end(mut self, is_last: bool) -> Result<SegmentEnd> {
        match self.0.take() {
            Some(open) => open.end(true, is_last).await,
            None => Ok(SegmentEnd::WrongChecksum(0)),
        }
    }

    /// Ends appending when not all bytes have come, and gives how many are there.
    pub(crate) async fn break_off(mut self) -> Result<u64> {
        match self.0.take() {
            Some(open) => match open.end(false, false).await? {
                SegmentEnd::Kept(kept) => Ok(kept.hasher.size()),
                SegmentEnd::WrongChecksum(offset) => Ok(offset),
            },
            None => Ok(0),
        }
    }
}

impl Drop for SegmentAppending {
    fn drop(&mut self) {
        if let (Some(open), Ok(runtime)) = (self.0.take(), Handle::try_current()) {
            runtime.spawn(async move {
                // What could not be written is not counted either.
                let _ = open.end(false, false).await;
            });
        }
    }
}

impl Open {
    /// How many bytes a segment gets: what fills and what flies are together what can be lost.
    fn piece(&self) -> usize {
        self.bucket.part_size()
    }

    /// Reads the last segments back, if they are many and small, to write them as one.
    ///
    /// A segment is taken along if it is no larger than those after it together: so each byte is
    /// written again a few times at most, however small the requests are. It is done when the first
    /// bytes are there: a request that is refused, or superseded at once, is not to pay for it.
    async fn gather(&mut self) -> Result<()> {
        if mem::replace(&mut self.is_gathered, true) {
            return Ok(());
        }
        let (mut count, mut size) = (0, 0);
        for segment in self.segments.iter().rev() {
            let together = size + segment.size;
            // The last one has none after it.
            let is_larger = count > 0 && segment.size > SMALL.max(size);
            if is_larger || together > self.piece() as u64 {
                break;
            }
            (count, size) = (count + 1, together);
        }
        if count < MANY {
            return Ok(());
        }
        let larger = self.segments.len() - count;
        let small = self.segments[larger..].to_vec();
        let start = small.first().map_or(self.before, |first| first.start);
        let range = domain::ByteRange {
            start,
            end: self.before,
        };
        let mut bytes = self.bucket.read_segments(small.clone(), range);
        let mut gathered = BytesMut::new();
        while let Some(piece) = bytes.next().await {
            gathered.extend_from_slice(&piece?);
        }
        // From here on nothing is waited for: all of it is done, or none.
        self.segments.truncate(larger);
        (self.start, self.refilled, self.replaced) = (start, gathered.len(), small);
        self.filling = gathered;
        Ok(())
    }

    async fn write(&mut self, mut bytes: &[u8]) -> Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        self.gather().await?;
        self.appended += bytes.len() as u64;
        while self.filling.len() + bytes.len() >= self.piece() {
            let fitting = self.piece() - self.filling.len();
            self.filling.extend_from_slice(&bytes[..fitting]);
            bytes = &bytes[fitting..];
            self.flush().await?;
        }
        self.filling.extend_from_slice(bytes);
        Ok(())
    }

    /// Sends what has been filled on its way, once what went before has arrived.
    async fn flush(&mut self) -> Result<()> {
        self.land().await?;
        let bytes = mem::take(&mut self.filling).freeze();
        let segment = Segment {
            start: self.start,
            size: bytes.len() as u64,
            key: Bucket::fresh_segment_key(self.id, self.start)?,
        };
        self.start += segment.size;
        let fresh = bytes.slice(mem::take(&mut self.refilled)..);
        let replaced = mem::take(&mut self.replaced);
        let mut hashes = self.hashes.clone();
        let bucket = self.bucket.clone();
        let flight = async move {
            let hashing = spawn_blocking(move || {
                hashes.update(&fresh);
                hashes
            });
            bucket.put(&segment.key, bytes).await?;
            Ok(Flown {
                segment,
                hashes: hashing.await.map_err(|_| damaged())?,
                replaced,
            })
        };
        self.flying = Some(tokio::spawn(flight.in_current_span()));
        Ok(())
    }

    /// Waits for the segment that is on its way, and lets it count.
    async fn land(&mut self) -> Result<()> {
        if self.is_broken {
            return Err(broken());
        }
        let Some(flying) = &mut self.flying else {
            return Ok(());
        };
        // Whoever waits may stop waiting, and wait again; but only until here.
        let flown = flying.await;
        self.flying = None;
        self.is_broken = true;
        let flown = flown.map_err(|_| damaged())??;
        let mut step = Step {
            bytes: flown.hashes.content.size(),
            hash_state: flown.hashes.content.save(),
            added: vec![flown.segment.clone()],
            removed: flown.replaced.iter().map(|old| old.start).collect(),
        };
        self.hashes = flown.hashes;
        if self.is_verified {
            self.held.added.append(&mut step.added);
            self.held.removed.append(&mut step.removed);
            self.held = Step {
                bytes: step.bytes,
                hash_state: step.hash_state,
                ..mem::take(&mut self.held)
            };
        } else {
            self.count(&step).await?;
        }
        self.is_broken = false;
        self.segments.push(flown.segment);
        self.replaced.extend(flown.replaced);
        if !self.is_verified {
            let replaced = mem::take(&mut self.replaced);
            self.remove(&replaced).await;
        }
        Ok(())
    }

    async fn count(&self, step: &Step) -> Result<()> {
        if self.ledger.advance(step).await? {
            return Ok(());
        }
        self.remove(&step.added).await;
        Err(Error::InUse)
    }

    /// Removes segments that count for nothing; what cannot be removed now is, as all that nobody
    /// knows of.
    async fn remove(&self, segments: &[Segment]) {
        for segment in segments {
            if let Err(error) = self.bucket.remove(&segment.key).await {
                tracing::debug!(key = segment.key, %error, "a segment stays until later");
            }
        }
    }

    async fn end(mut self, is_whole: bool, is_last: bool) -> Result<SegmentEnd> {
        let is_all_here = self.before == 0 && self.start == 0 && self.flying.is_none();
        if is_last && is_whole && is_all_here {
            return self.end_in_memory().await;
        }
        if self.appended > 0 && self.filling.len() > self.refilled {
            self.flush().await?;
        }
        self.land().await?;
        if self.is_verified {
            let mut checksums = mem::take(&mut self.hashes.checksums).into_iter();
            if !checksums.all(|checksum| is_whole && checksum.matches()) {
                self.remove(&self.held.added).await;
                return Ok(SegmentEnd::WrongChecksum(self.before));
            }
            if !self.held.added.is_empty() {
                self.count(&self.held).await?;
                self.remove(&self.replaced).await;
            }
        }
        Ok(SegmentEnd::Kept(Box::new(JoinedSegments {
            bucket: self.bucket,
            hasher: self.hashes.content,
            segments: self.segments,
            memory: None,
        })))
    }

    /// The whole upload came with this request, and is small: nothing of it has to be staged.
    async fn end_in_memory(mut self) -> Result<SegmentEnd> {
        let bytes = mem::take(&mut self.filling).freeze();
        let (mut hashes, same_bytes) = (self.hashes, bytes.clone());
        let hashing = spawn_blocking(move || {
            hashes.update(&same_bytes);
            hashes
        });
        let hashes = hashing.await.map_err(|_| damaged())?;
        let mut checksums = hashes.checksums.into_iter();
        if !checksums.all(domain::ChecksumVerifier::matches) {
            return Ok(SegmentEnd::WrongChecksum(self.before));
        }
        Ok(SegmentEnd::Kept(Box::new(JoinedSegments {
            bucket: self.bucket,
            hasher: hashes.content,
            segments: Vec::new(),
            memory: Some(bytes),
        })))
    }
}

impl JoinedSegments {
    /// What identifies the bytes.
    pub(crate) fn content(&self) -> Content {
        self.hasher.clone().finish()
    }

    /// Makes one object of all.
    pub(crate) async fn join(self, key: &str) -> Result<()> {
        if self.segments.is_empty() {
            return self.bucket.put(key, self.memory.unwrap_or_default()).await;
        }
        let work = async {
            let writer = self
                .bucket
                .operator()
                .writer_with(key)
                .chunk(self.bucket.part_size())
                .concurrent(COPIES_AT_ONCE);
            let mut writer = writer.await?;
            let mut joined = Ok(());
            for segment in &self.segments {
                joined = writer.copy_from(&segment.key, 0..segment.size).await;
                if joined.is_err() {
                    break;
                }
            }
            if joined.is_ok() {
                joined = writer.close().await.map(drop);
            }
            if joined.is_err() {
                // Parts that cannot be taken back expire.
                let _ = writer.abort().await;
            }
            joined
        };
        let explained = async { work.await.map_err(|error| self.bucket.explain(&error)) };
        self.bucket.meter().time(Operation::Write, explained).await
    }
}

fn broken() -> Error {
    Error::Unavailable(std::io::Error::other("an earlier write failed"))
}

fn damaged() -> Error {
    Error::Unavailable(std::io::Error::other(
        "what is known of an upload is damaged",
    ))
}
