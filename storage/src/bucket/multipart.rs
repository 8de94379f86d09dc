//! Sending an object to a bucket in parts while its bytes arrive.

use bytes::Bytes;
use domain::ContentHasher;
use opendal::Writer;
use tokio::{sync::mpsc, task::JoinHandle};
use tracing::Instrument as _;

use super::{client::Bucket, key};
use crate::{
    error::{Error, Result},
    hashing::BackgroundHasher,
    memory::Room,
    metrics::Operation,
    sizes::BATCH_SIZE,
};

/// Parts of an object that are sent at a time, besides the one that fills.
const CONCURRENT_PARTS: usize = 2;

/// Writes an object in parts. The object does not exist before [`Self::complete`].
///
/// A task of its own writes, so that a caller that stops waiting for a write does not break it.
/// Dropping the writer makes the task abort the multipart upload.
pub(crate) struct MultipartWriter {
    pub(crate) key: String,
    hasher: BackgroundHasher,
    commands: mpsc::Sender<Command>,
    writing: JoinHandle<Result<()>>,
}

/// A command to the task.
enum Command {
    Write(Bytes),
    Complete,
}

impl Bucket {
    /// The memory in bytes that an object needs which is sent in parts, of at most so many bytes if they
    /// are known: that of the parts, and of the batches that are filled and hashed.
    #[must_use]
    pub fn memory_needed(&self, most: Option<u64>) -> usize {
        let all = (CONCURRENT_PARTS + 1) * self.part_size() + 2 * BATCH_SIZE;
        let most = most.and_then(|most| usize::try_from(most).ok());
        most.map_or(all, |most| most.min(all))
    }
}

impl MultipartWriter {
    /// Starts an object with a new key. Nothing is hashed if its content `is_known`.
    /// The parts take up the room.
    pub(crate) async fn new(bucket: &Bucket, is_known: bool, room: Option<Room>) -> Result<Self> {
        let key = key::fresh()?;
        let writer = bucket
            .operator()
            .writer_with(&key)
            .chunk(bucket.part_size())
            .concurrent(CONCURRENT_PARTS)
            .await
            .map_err(|error| bucket.explain(&error))?;
        let (commands, received) = mpsc::channel(1);
        let bucket = bucket.clone();
        let writing = async move {
            let written = write(bucket, writer, received).await;
            drop(room);
            written
        };
        let writing = tokio::spawn(writing.in_current_span());
        Ok(Self {
            key,
            hasher: BackgroundHasher::unless_known(is_known),
            commands,
            writing,
        })
    }

    pub(crate) async fn write(&mut self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            let (taken, batch) = self.hasher.fill(bytes).await?;
            bytes = &bytes[taken..];
            if let Some(batch) = batch {
                self.send(Command::Write(batch)).await?;
            }
        }
        Ok(())
    }

    async fn send(&mut self, command: Command) -> Result<()> {
        if self.commands.send(command).await.is_err() {
            // The task has ended early. Its result says why.
            (&mut self.writing).await.map_err(stopped)??;
            return Err(stopped("the multipart upload has ended"));
        }
        Ok(())
    }

    /// Sends the rest of the bytes, and returns the hash of all.
    pub(crate) async fn settle(&mut self) -> Result<ContentHasher> {
        let (hasher, rest) = self.hasher.end().await?;
        if let Some(rest) = rest {
            self.send(Command::Write(rest)).await?;
        }
        Ok(hasher)
    }

    /// Completes the multipart upload, which creates the object.
    pub(crate) async fn complete(mut self) -> Result<()> {
        self.send(Command::Complete).await?;
        self.writing.await.map_err(stopped)?
    }
}

/// Executes commands. If the channel closes before [`Command::Complete`], the upload is aborted.
async fn write(
    bucket: Bucket,
    mut writer: Writer,
    mut commands: mpsc::Receiver<Command>,
) -> Result<()> {
    let metrics = bucket.metrics();
    let mut done = Ok(());
    while done.is_ok() {
        match commands.recv().await {
            Some(Command::Write(batch)) => done = writer.write(batch).await,
            Some(Command::Complete) => {
                let closing = async {
                    let closed = writer.close().await;
                    closed.map_err(|error| bucket.explain(&error))
                };
                let closed = metrics.time(Operation::Write, closing).await;
                if closed.is_err() {
                    abort(&mut writer).await;
                }
                return closed.map(drop);
            }
            None => {
                abort(&mut writer).await;
                return Ok(());
            }
        }
    }
    // The next command fails, and the writer returns this error.
    commands.close();
    abort(&mut writer).await;
    let failed = async { done.map_err(|error| bucket.explain(&error)) };
    metrics.time(Operation::Write, failed).await
}

async fn abort(writer: &mut Writer) {
    if let Err(error) = writer.abort().await {
        tracing::debug!(%error, "could not abort a multipart upload, its parts expire later");
    }
}

fn stopped(reason: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::Unavailable(std::io::Error::other(reason))
}
