//! Writing the segments of an upload, one in flight while the next one fills.

use std::mem;

use bytes::{Bytes, BytesMut};
use domain::{ByteRange, Checksum, ContentHasher, RandomId};
use futures_util::StreamExt as _;
use tokio::task::{JoinHandle, spawn_blocking};
use tracing::Instrument as _;

use super::{
    compact,
    compose::SegmentedUpload,
    index::{Segment, SegmentIndex, SegmentUpdate},
    read::stream_of_segments,
};
use crate::{
    bucket::{client::Bucket, key},
    error::{Error, Result},
    hashing::Hashes,
    memory::Room,
    sizes::SMALL_SIZE,
};

/// An append in progress.
pub(super) struct Open {
    bucket: Bucket,
    id: RandomId,
    index: Box<dyn SegmentIndex>,
    /// The number of the upload's earlier bytes.
    before: u64,
    segments: Vec<Segment>,
    hashes: Box<Hashes>,
    is_verified: bool,
    appended: u64,
    is_compacted: bool,
    /// The memory of the segments that fill and are in flight.
    room: Option<Room>,
    filling: BytesMut,
    /// The position in the upload of the first byte in `filling`.
    start: u64,
    /// The number of bytes in `filling` that were read back, and are hashed already.
    refilled: usize,
    /// The segments that the one in `filling` replaces.
    replaced: Vec<Segment>,
    in_flight: Option<JoinHandle<Result<UploadedSegment>>>,
    /// It is unknown whether a segment counts, so no later one may.
    is_broken: bool,
    /// The update that is applied once the bytes are verified.
    held: SegmentUpdate,
}

/// A segment that the bucket has received.
struct UploadedSegment {
    segment: Segment,
    hashes: Box<Hashes>,
    replaced: Vec<Segment>,
}

/// The outcome of an append.
pub(crate) enum SegmentAppendOutcome {
    /// The bytes are kept. These are all bytes of the upload so far.
    Appended(Box<SegmentedUpload>),
    /// The bytes do not match the checksum, and were dropped. The upload has this many bytes.
    ChecksumMismatch(u64),
}

impl Open {
    /// Continues after the bytes that `content` contains, which are in `segments`.
    pub(super) fn new(
        bucket: Bucket,
        id: RandomId,
        index: Box<dyn SegmentIndex>,
        segments: Vec<Segment>,
        content: ContentHasher,
        checksums: Vec<Checksum>,
    ) -> Self {
        Self {
            bucket,
            id,
            index,
            before: content.size(),
            start: content.size(),
            segments,
            is_verified: !checksums.is_empty(),
            hashes: Box::new(Hashes {
                content,
                checksums: checksums.into_iter().map(Checksum::verifier).collect(),
                is_skipped: false,
            }),
            appended: 0,
            filling: BytesMut::new(),
            is_compacted: false,
            room: None,
            refilled: 0,
            replaced: Vec::new(),
            in_flight: None,
            is_broken: false,
            held: SegmentUpdate::default(),
        }
    }

    pub(super) fn offset(&self) -> u64 {
        self.before + self.appended
    }

    pub(super) async fn is_superseded(&self) -> Result<bool> {
        self.index.is_superseded().await
    }

    /// The size of a segment. The segments that fill and are in flight together are the bytes that
    /// can be lost.
    fn segment_size(&self) -> usize {
        self.bucket.part_size()
    }

    /// Reads the last segments back if they are many and small, to write them as one.
    ///
    /// This happens when the first bytes have arrived, so that a request that is refused, or
    /// superseded at once, does not pay for it.
    async fn compact_tail(&mut self) -> Result<()> {
        if mem::replace(&mut self.is_compacted, true) {
            return Ok(());
        }
        let count = compact::tail_length(&self.segments, self.segment_size() as u64);
        if count == 0 {
            return Ok(());
        }
        self.take_memory().await?;
        let kept = self.segments.len() - count;
        let tail = self.segments[kept..].to_vec();
        let start = tail.first().map_or(self.before, |first| first.start);
        let range = ByteRange {
            start,
            end: self.before,
        };
        let mut pieces = stream_of_segments(&self.bucket, tail.clone(), range);
        let mut bytes = BytesMut::new();
        while let Some(piece) = pieces.next().await {
            bytes.extend_from_slice(&piece?);
        }
        // No await from here on: all of it happens, or nothing.
        self.segments.truncate(kept);
        (self.start, self.refilled, self.replaced) = (start, bytes.len(), tail);
        self.filling = bytes;
        Ok(())
    }

    /// Waits for the memory of two segments, once.
    async fn take_memory(&mut self) -> Result<()> {
        if self.room.is_none() {
            let memory = self.bucket.memory();
            self.room = memory.take_in_time(2 * self.segment_size()).await?;
        }
        Ok(())
    }

    pub(super) async fn write(&mut self, mut bytes: &[u8]) -> Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        self.compact_tail().await?;
        if self.filling.len() + bytes.len() > SMALL_SIZE {
            self.take_memory().await?;
        }
        self.appended += bytes.len() as u64;
        while self.filling.len() + bytes.len() >= self.segment_size() {
            let fitting = self.segment_size() - self.filling.len();
            self.filling.extend_from_slice(&bytes[..fitting]);
            bytes = &bytes[fitting..];
            self.flush().await?;
        }
        self.filling.extend_from_slice(bytes);
        Ok(())
    }

    /// Starts to send the collected segment, once the previous one is committed.
    async fn flush(&mut self) -> Result<()> {
        self.commit_segment().await?;
        let bytes = mem::take(&mut self.filling).freeze();
        let segment = Segment {
            start: self.start,
            size: bytes.len() as u64,
            key: key::fresh_segment(self.id, self.start)?,
        };
        self.start += segment.size;
        let fresh = bytes.slice(mem::take(&mut self.refilled)..);
        let replaced = mem::take(&mut self.replaced);
        let mut hashes = self.hashes.clone();
        let bucket = self.bucket.clone();
        let sending = async move {
            let hashing = spawn_blocking(move || {
                hashes.update(&fresh);
                hashes
            });
            bucket.put(&segment.key, bytes).await?;
            Ok(UploadedSegment {
                segment,
                hashes: hashing.await.map_err(|_| damaged())?,
                replaced,
            })
        };
        self.in_flight = Some(tokio::spawn(sending.in_current_span()));
        Ok(())
    }

    /// Waits for the segment in flight, and adds it to the index.
    async fn commit_segment(&mut self) -> Result<()> {
        if self.is_broken {
            return Err(broken());
        }
        let Some(in_flight) = &mut self.in_flight else {
            return Ok(());
        };
        // A caller that stops waiting here can wait again, but not after this line.
        let uploaded = in_flight.await;
        self.in_flight = None;
        self.is_broken = true;
        let uploaded = uploaded.map_err(|_| damaged())??;
        let mut update = SegmentUpdate {
            bytes: uploaded.hashes.content.size(),
            hash_state: uploaded.hashes.content.save(),
            added: vec![uploaded.segment.clone()],
            removed: uploaded.replaced.iter().map(|old| old.start).collect(),
        };
        self.hashes = uploaded.hashes;
        if self.is_verified {
            self.held.added.append(&mut update.added);
            self.held.removed.append(&mut update.removed);
            self.held = SegmentUpdate {
                bytes: update.bytes,
                hash_state: update.hash_state,
                ..mem::take(&mut self.held)
            };
        } else {
            self.apply(&update).await?;
        }
        self.is_broken = false;
        self.segments.push(uploaded.segment);
        self.replaced.extend(uploaded.replaced);
        if !self.is_verified {
            let replaced = mem::take(&mut self.replaced);
            self.remove(&replaced).await;
        }
        Ok(())
    }

    /// Applies an update to the index, unless another request has taken the upload over.
    async fn apply(&self, update: &SegmentUpdate) -> Result<()> {
        if self.index.advance(update).await? {
            return Ok(());
        }
        self.remove(&update.added).await;
        Err(Error::InUse)
    }

    /// Removes segments that do not count. If that fails, the cleanup of unknown segments removes
    /// them later.
    async fn remove(&self, segments: &[Segment]) {
        for segment in segments {
            if let Err(error) = self.bucket.remove(&segment.key).await {
                let key = &segment.key;
                tracing::debug!(key, %error, "could not remove a segment, it stays until later");
            }
        }
    }

    /// Ends the append. Bytes that must match checksums do not if the request was incomplete.
    pub(super) async fn end(
        mut self,
        is_complete: bool,
        is_last: bool,
    ) -> Result<SegmentAppendOutcome> {
        let is_all_in_memory = self.before == 0 && self.start == 0 && self.in_flight.is_none();
        if is_last && is_complete && is_all_in_memory {
            return self.end_in_memory().await;
        }
        if self.appended > 0 && self.filling.len() > self.refilled {
            self.flush().await?;
        }
        self.commit_segment().await?;
        if self.is_verified {
            let mut checksums = mem::take(&mut self.hashes.checksums).into_iter();
            if !checksums.all(|checksum| is_complete && checksum.matches()) {
                self.remove(&self.held.added).await;
                return Ok(SegmentAppendOutcome::ChecksumMismatch(self.before));
            }
            if !self.held.added.is_empty() {
                self.apply(&self.held).await?;
                self.remove(&self.replaced).await;
            }
        }
        Ok(SegmentAppendOutcome::Appended(Box::new(SegmentedUpload {
            bucket: self.bucket,
            hasher: self.hashes.content,
            segments: self.segments,
            memory: None,
        })))
    }

    /// Ends a small upload that came with this one request. None of it is staged.
    async fn end_in_memory(mut self) -> Result<SegmentAppendOutcome> {
        let bytes = mem::take(&mut self.filling).freeze();
        let bytes: Bytes = match self.room.take() {
            Some(room) => room.hold(bytes),
            None => bytes,
        };
        let (mut hashes, same_bytes) = (self.hashes, bytes.clone());
        let hashing = spawn_blocking(move || {
            hashes.update(&same_bytes);
            hashes
        });
        let hashes = hashing.await.map_err(|_| damaged())?;
        let mut checksums = hashes.checksums.into_iter();
        if !checksums.all(domain::ChecksumVerifier::matches) {
            return Ok(SegmentAppendOutcome::ChecksumMismatch(self.before));
        }
        Ok(SegmentAppendOutcome::Appended(Box::new(SegmentedUpload {
            bucket: self.bucket,
            hasher: hashes.content,
            segments: Vec::new(),
            memory: Some(bytes),
        })))
    }
}

fn broken() -> Error {
    Error::Unavailable(std::io::Error::other("an earlier write failed"))
}

pub(super) fn damaged() -> Error {
    Error::Unavailable(std::io::Error::other(
        "the progress of an upload is damaged",
    ))
}
