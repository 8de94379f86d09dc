//! A content that is sent to a bucket while it arrives.

use std::mem;

use bytes::Bytes;
use domain::ContentHasher;
use opendal::Writer;
use tokio::runtime::Handle;

use super::Bucket;
use crate::{Digesting, Error, Result, meter::Operation};

/// How many parts of an object are on their way at a time, beside the one that fills.
const PARTS_AT_ONCE: usize = 2;

/// An object that is being written in parts; there is nothing of it before it is [ended](Self::end).
///
/// Dropping it takes back what was sent.
pub(crate) struct Sending {
    bucket: Bucket,
    pub(crate) key: String,
    writer: Option<Writer>,
    digesting: Digesting,
}

impl Sending {
    pub(crate) async fn begin(bucket: &Bucket, key: String) -> Result<Self> {
        let writer = bucket
            .operator()
            .writer_with(&key)
            .chunk(bucket.part_size())
            .concurrent(PARTS_AT_ONCE)
            .await
            .map_err(|error| bucket.explain(&error))?;
        Ok(Self {
            bucket: bucket.clone(),
            key,
            writer: Some(writer),
            digesting: Digesting::default(),
        })
    }

    pub(crate) async fn write(&mut self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            let (taken, batch) = self.digesting.fill(bytes).await?;
            bytes = &bytes[taken..];
            if let Some(batch) = batch {
                self.pass_on(batch).await?;
            }
        }
        Ok(())
    }

    async fn pass_on(&mut self, batch: Bytes) -> Result<()> {
        let Some(writer) = &mut self.writer else {
            return Err(broken());
        };
        let writing = async {
            let written = writer.write(batch).await;
            written.map_err(|error| self.bucket.explain(&error))
        };
        let meter = self.bucket.meter();
        meter.time(Operation::Write, writing).await
    }

    /// Ends the content, and gives what identifies it.
    pub(crate) async fn settle(&mut self) -> Result<ContentHasher> {
        let (hasher, rest) = self.digesting.end().await?;
        if let Some(rest) = rest {
            self.pass_on(rest).await?;
        }
        Ok(hasher)
    }

    /// Makes the object.
    pub(crate) async fn end(mut self) -> Result<()> {
        let Some(mut writer) = self.writer.take() else {
            return Err(broken());
        };
        let closing = async {
            let closed = writer.close().await;
            closed.map_err(|error| self.bucket.explain(&error))
        };
        let closed = self.bucket.meter().time(Operation::Write, closing).await;
        if closed.is_err() {
            self.writer = Some(writer);
        }
        closed.map(drop)
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        if let (Some(mut writer), Ok(runtime)) = (self.writer.take(), Handle::try_current()) {
            let key = mem::take(&mut self.key);
            runtime.spawn(async move {
                if let Err(error) = writer.abort().await {
                    tracing::debug!(%key, %error, "parts of an object stay until they expire");
                }
            });
        }
    }
}

fn broken() -> Error {
    Error::Unavailable(std::io::Error::other("an earlier write failed"))
}
