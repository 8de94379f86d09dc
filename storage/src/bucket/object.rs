//! Reading an object of a bucket.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::{Bytes, BytesMut};
use domain::ByteRange;
use futures_util::{StreamExt as _, stream, stream::BoxStream};

use super::client::Bucket;
use crate::{
    boxed,
    error::{Error, Result},
    metrics::Operation,
    sizes::READ_SIZE,
};

/// An open object in a bucket. A range of it is being read already.
#[derive(Clone)]
pub struct BucketObject {
    bucket: Bucket,
    key: String,
    size: u64,
    range: ByteRange,
    /// The bytes of the whole range if it is short, or else its first bytes.
    first: Bytes,
    /// The rest of the range, for the first stream.
    rest: Arc<Mutex<Option<BoxStream<'static, Result<Bytes>>>>>,
}

impl Bucket {
    /// Opens an object, and starts to read the wanted range.
    ///
    /// # Errors
    ///
    /// [`Error::Missing`] if the object does not exist, or any other error of the store.
    #[boxed]
    pub async fn open_object(
        &self,
        key: &str,
        size: u64,
        wanted: ByteRange,
    ) -> Result<BucketObject> {
        let opening = async {
            if wanted.length() == 0 {
                self.confirm_size(key, size).await?;
            }
            BucketObject::open(self.clone(), key.to_owned(), size, wanted).await
        };
        self.metrics().time(Operation::Read, opening).await
    }
}

impl BucketObject {
    async fn open(bucket: Bucket, key: String, size: u64, range: ByteRange) -> Result<Self> {
        let mut rest = stream_of(&bucket, &key, range);
        let mut first = BytesMut::new();
        let is_short = range.length() <= READ_SIZE;
        while (first.len() as u64) < range.length() && (is_short || first.is_empty()) {
            match rest.next().await {
                Some(Ok(bytes)) => first.extend_from_slice(&bytes),
                Some(Err(Error::Truncated(_))) | None => {
                    // The object may have fewer bytes than it should.
                    bucket.confirm_size(&key, size).await?;
                    return Err(truncated(&key));
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

/// Streams a range. The stream has all its bytes, or ends with an error.
pub(super) fn stream_of(
    bucket: &Bucket,
    key: &str,
    range: ByteRange,
) -> BoxStream<'static, Result<Bytes>> {
    if range.length() == 0 {
        return stream::empty().boxed();
    }
    let state = RangeReader {
        bucket: bucket.clone(),
        key: key.to_owned(),
        left: range.length(),
        source: None,
        range,
    };
    stream::try_unfold(state, RangeReader::next).boxed()
}

struct RangeReader {
    bucket: Bucket,
    key: String,
    range: ByteRange,
    left: u64,
    source: Option<opendal::FuturesBytesStream>,
}

impl RangeReader {
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
            None => Err(truncated(&self.key)),
        }
    }

    /// Converts an I/O error that contains the store's error.
    async fn failed(&self, error: std::io::Error) -> Error {
        match error
            .into_inner()
            .map(<dyn std::error::Error + Send + Sync>::downcast::<opendal::Error>)
        {
            Some(Ok(error)) if is_short(&error) => Error::Truncated(self.key.clone()),
            Some(Ok(error)) => self.bucket.explain_missing(&self.key, *error).await,
            Some(Err(other)) => Error::Unavailable(std::io::Error::other(other)),
            None => truncated(&self.key),
        }
    }
}

/// Returns whether the object had fewer bytes than requested.
fn is_short(error: &opendal::Error) -> bool {
    error.kind() == opendal::ErrorKind::RangeNotSatisfied
        || error.message().contains("too little data")
        || error.message().contains("InvalidRange")
}

fn truncated(key: &str) -> Error {
    Error::Truncated(key.to_owned())
}
