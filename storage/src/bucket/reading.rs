//! Reading from a bucket's object.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::{Bytes, BytesMut};
use domain::ByteRange;
use futures_util::{StreamExt as _, stream, stream::BoxStream};

use super::{Bucket, Segment};
use crate::{Error, Result, object::PIECE};

/// An object of which a range is being read already.
#[derive(Clone)]
pub(crate) struct Remote {
    bucket: Bucket,
    key: String,
    size: u64,
    range: ByteRange,
    /// The whole of the range, if it is short; else its beginning.
    first: Bytes,
    /// The rest of it, for whoever asks first.
    rest: Arc<Mutex<Option<BoxStream<'static, Result<Bytes>>>>>,
}

impl Remote {
    pub(super) async fn open(
        bucket: Bucket,
        key: String,
        size: u64,
        range: ByteRange,
    ) -> Result<Self> {
        let mut rest = stream_of(&bucket, &key, range);
        let mut first = BytesMut::new();
        let is_short = range.length() <= PIECE;
        while (first.len() as u64) < range.length() && (is_short || first.is_empty()) {
            match rest.next().await {
                Some(Ok(bytes)) => first.extend_from_slice(&bytes),
                Some(Err(Error::Ended(_))) | None => {
                    // It may have fewer bytes than it should.
                    bucket.confirm_size(&key, size).await?;
                    return Err(short(&key));
                }
                Some(Err(error)) => return Err(error),
            }
        }
        Ok(Self {
            bucket,
            key,
            size,
            range,
            first: first.freeze(),
            rest: Arc::new(Mutex::new(Some(rest))),
        })
    }

    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    pub(crate) fn ready(&self, range: ByteRange) -> Option<Bytes> {
        let length = usize::try_from(range.length()).ok()?;
        (range.start == self.range.start && length <= self.first.len())
            .then(|| self.first.slice(..length))
    }

    pub(crate) fn stream(self, range: ByteRange) -> BoxStream<'static, Result<Bytes>> {
        if let Some(bytes) = self.ready(range) {
            return stream::iter([Ok(bytes)]).boxed();
        }
        let rest = if range == self.range {
            let mut rest = self.rest.lock().unwrap_or_else(PoisonError::into_inner);
            rest.take()
        } else {
            None
        };
        match rest {
            Some(rest) => stream::iter([Ok(self.first)]).chain(rest).boxed(),
            None => stream_of(&self.bucket, &self.key, range),
        }
    }
}

/// The bytes of a range, which are as many as it has, or end in an error.
pub(super) fn stream_of(
    bucket: &Bucket,
    key: &str,
    range: ByteRange,
) -> BoxStream<'static, Result<Bytes>> {
    if range.length() == 0 {
        return stream::empty().boxed();
    }
    let state = Reading {
        bucket: bucket.clone(),
        key: key.to_owned(),
        left: range.length(),
        source: None,
        range,
    };
    stream::try_unfold(state, Reading::next).boxed()
}

struct Reading {
    bucket: Bucket,
    key: String,
    range: ByteRange,
    left: u64,
    source: Option<opendal::FuturesBytesStream>,
}

impl Reading {
    async fn next(mut self) -> Result<Option<(Bytes, Self)>> {
        if self.left == 0 {
            return Ok(None);
        }
        if self.source.is_none() {
            let opening = async {
                let reader = self.bucket.operator().reader(&self.key).await?;
                reader
                    .into_bytes_stream(self.range.start..self.range.end)
                    .await
            };
            match opening.await {
                Ok(source) => self.source = Some(source),
                Err(error) => return Err(self.bucket.explain_missing(&self.key, error).await),
            }
        }
        let Some(source) = &mut self.source else {
            return Ok(None);
        };
        match source.next().await {
            Some(Ok(bytes)) => {
                self.left = self.left.saturating_sub(bytes.len() as u64);
                Ok(Some((bytes, self)))
            }
            Some(Err(error)) => Err(self.failed(error).await),
            None => Err(short(&self.key)),
        }
    }

    /// What is in an I/O error that was made of the store's.
    async fn failed(&self, error: std::io::Error) -> Error {
        match error
            .into_inner()
            .map(<dyn std::error::Error + Send + Sync>::downcast::<opendal::Error>)
        {
            Some(Ok(error)) if is_short(&error) => Error::Ended(self.key.clone()),
            Some(Ok(error)) => self.bucket.explain_missing(&self.key, *error).await,
            Some(Err(other)) => Error::Unavailable(std::io::Error::other(other)),
            None => short(&self.key),
        }
    }
}

/// The segments of an upload, one after the other, from a place on.
pub(super) fn stream_of_segments(
    bucket: &Bucket,
    segments: Vec<Segment>,
    range: ByteRange,
) -> BoxStream<'static, Result<Bytes>> {
    let bucket = bucket.clone();
    let parts = segments.into_iter().filter_map(move |segment| {
        let end = segment.start + segment.size;
        let part = ByteRange {
            start: range.start.max(segment.start),
            end: range.end.min(end),
        };
        (part.start < part.end).then(|| {
            let within = ByteRange {
                start: part.start - segment.start,
                end: part.end - segment.start,
            };
            stream_of(&bucket, &segment.key, within)
        })
    });
    stream::iter(parts).flatten().boxed()
}

/// Whether there were fewer bytes than were asked for.
fn is_short(error: &opendal::Error) -> bool {
    error.kind() == opendal::ErrorKind::RangeNotSatisfied
        || error.message().contains("too little data")
        || error.message().contains("InvalidRange")
}

fn short(key: &str) -> Error {
    Error::Ended(key.to_owned())
}
