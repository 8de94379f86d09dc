//! A content that is sent to a bucket while it arrives.

use bytes::Bytes;
use domain::ContentHasher;
use opendal::Writer;
use tokio::{sync::mpsc, task::JoinHandle};
use tracing::Instrument as _;

use super::Bucket;
use crate::{Digesting, Error, Result, meter::Operation};

/// How many parts of an object are on their way at a time, beside the one that fills.
const PARTS_AT_ONCE: usize = 2;

/// An object that is being written in parts; there is nothing of it before it is [ended](Self::end).
///
/// It is written by a task of its own, so that whoever stops waiting for a write does not tear it
/// apart: dropping this lets the task take back what was sent.
pub(crate) struct Sending {
    pub(crate) key: String,
    digesting: Digesting,
    orders: mpsc::Sender<Order>,
    writing: JoinHandle<Result<()>>,
}

/// What the task is to do.
enum Order {
    Write(Bytes),
    End,
}

impl Sending {
    pub(crate) async fn begin(bucket: &Bucket, key: String, is_known: bool) -> Result<Self> {
        let writer = bucket
            .operator()
            .writer_with(&key)
            .chunk(bucket.part_size())
            .concurrent(PARTS_AT_ONCE)
            .await
            .map_err(|error| bucket.explain(&error))?;
        let (orders, ordered) = mpsc::channel(1);
        let writing = write(bucket.clone(), writer, ordered).in_current_span();
        let writing = tokio::spawn(writing);
        Ok(Self {
            key,
            digesting: Digesting::unless(is_known),
            orders,
            writing,
        })
    }

    pub(crate) async fn write(&mut self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            let (taken, batch) = self.digesting.fill(bytes).await?;
            bytes = &bytes[taken..];
            if let Some(batch) = batch {
                self.order(Order::Write(batch)).await?;
            }
        }
        Ok(())
    }

    async fn order(&mut self, order: Order) -> Result<()> {
        if self.orders.send(order).await.is_err() {
            // It has ended early, and says why.
            (&mut self.writing).await.map_err(stopped)??;
            return Err(stopped("it was ended before"));
        }
        Ok(())
    }

    /// Ends the content, and gives what identifies it.
    pub(crate) async fn settle(&mut self) -> Result<ContentHasher> {
        let (hasher, rest) = self.digesting.end().await?;
        if let Some(rest) = rest {
            self.order(Order::Write(rest)).await?;
        }
        Ok(hasher)
    }

    /// Makes the object.
    pub(crate) async fn end(mut self) -> Result<()> {
        self.order(Order::End).await?;
        self.writing.await.map_err(stopped)?
    }
}

/// Does what is ordered; if the end is not, nothing is left of it.
async fn write(
    bucket: Bucket,
    mut writer: Writer,
    mut ordered: mpsc::Receiver<Order>,
) -> Result<()> {
    let meter = bucket.meter();
    let mut done = Ok(());
    while done.is_ok() {
        match ordered.recv().await {
            Some(Order::Write(batch)) => done = writer.write(batch).await,
            Some(Order::End) => {
                let closing = async {
                    let closed = writer.close().await;
                    closed.map_err(|error| bucket.explain(&error))
                };
                let closed = meter.time(Operation::Write, closing).await;
                if closed.is_err() {
                    take_back(&mut writer).await;
                }
                return closed.map(drop);
            }
            None => {
                take_back(&mut writer).await;
                return Ok(());
            }
        }
    }
    // Whoever orders hears of it next.
    ordered.close();
    take_back(&mut writer).await;
    let failed = async { done.map_err(|error| bucket.explain(&error)) };
    meter.time(Operation::Write, failed).await
}

async fn take_back(writer: &mut Writer) {
    if let Err(error) = writer.abort().await {
        tracing::debug!(%error, "parts of an object stay until they expire");
    }
}

fn stopped(reason: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::Unavailable(std::io::Error::other(reason))
}
