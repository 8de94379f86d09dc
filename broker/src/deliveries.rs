//! The messages that arrive.

use std::time::Duration;

use futures_util::StreamExt as _;
use lapin::{
    Consumer,
    message::Delivery as Arrived,
    options::{BasicAckOptions, BasicConsumeOptions, BasicNackOptions, BasicQosOptions},
    types::FieldTable,
};
use tokio::{runtime::Handle, sync::watch, time::timeout};
use tracing::Span;

use crate::{Error, Options, Result, link::Link, message, trace};

/// The messages that one consumer gets.
///
/// Dropping it closes its connection; what was not answered goes back into the queue.
#[derive(Debug)]
pub struct Deliveries {
    consumer: Consumer,
    link: Link,
    patience: Duration,
    closed: watch::Receiver<bool>,
}

/// A message, which has to be answered.
///
/// One that is dropped goes back into the queue.
#[must_use = "it comes again unless it is answered"]
#[derive(Debug)]
pub struct Delivery {
    /// The id of the job.
    pub job: i64,
    /// What is done for it belongs here in a trace.
    pub span: Span,
    unanswered: Unanswered,
}

#[derive(Debug)]
struct Unanswered {
    arrived: Option<Box<Arrived>>,
    patience: Duration,
}

enum Answer {
    Done,
    Again,
    Never,
}

impl Deliveries {
    pub(crate) async fn begin(
        link: Link,
        options: &Options,
        closed: watch::Receiver<bool>,
    ) -> Result<Self> {
        let patience = options.operation_timeout;
        let beginning = async {
            let channel = link.channel().await?;
            let each = BasicQosOptions::default();
            channel.basic_qos(options.prefetch, each).await?;
            let queue = link.topology().copies.clone();
            let (consume, arguments) = (BasicConsumeOptions::default(), FieldTable::default());
            Ok(channel
                .basic_consume(queue, "".into(), consume, arguments)
                .await?)
        };
        let begun = timeout(patience, beginning).await;
        Ok(Self {
            consumer: begun.unwrap_or(Err(Error::TimedOut))?,
            link,
            patience,
            closed,
        })
    }

    /// Waits for the next message; `None` when the broker was [closed](crate::Broker::close).
    ///
    /// A message that nobody can read is set aside with those that are dead, and is not given out.
    /// Nothing is lost when this is dropped before it is done.
    ///
    /// # Errors
    ///
    /// When the connection is lost or the broker cancels the deliveries. There will be no more
    /// then: [consume](crate::Broker::consume) again.
    pub async fn next(&mut self) -> Result<Option<Delivery>> {
        loop {
            let arrived = tokio::select! {
                biased;
                // It is an error if the broker is dropped, which is the same to those who wait.
                _ = self.closed.wait_for(|closed| *closed) => return Ok(None),
                arrived = self.consumer.next() => arrived,
            };
            let arrived = arrived.ok_or(Error::Cancelled)?;
            let arrived = arrived.inspect_err(|_| self.link.cut())?;
            let read = message::read(&arrived.data);
            let span = trace::processing(self.link.topology(), &arrived.properties);
            let unanswered = Unanswered {
                arrived: Some(Box::new(arrived)),
                patience: self.patience,
            };
            match read {
                Ok(job) => {
                    return Ok(Some(Delivery {
                        job,
                        span,
                        unanswered,
                    }));
                }
                Err(error) => {
                    tracing::warn!(%error, "a message in the queue of jobs cannot be read");
                    unanswered.answer(Answer::Never).await?;
                }
            }
        }
    }
}

impl Delivery {
    /// Says that the message is done with.
    ///
    /// The broker does not confirm it: if the connection is lost now, the message comes again.
    ///
    /// # Errors
    ///
    /// When the connection is lost.
    pub async fn ack(self) -> Result<()> {
        self.unanswered.answer(Answer::Done).await
    }

    /// Puts the message back into the queue, at most 20 times; then it is dead.
    ///
    /// # Errors
    ///
    /// When the connection is lost; then it goes back all the same.
    pub async fn requeue(self) -> Result<()> {
        self.unanswered.answer(Answer::Again).await
    }

    /// Sets the message aside with those that are dead.
    ///
    /// # Errors
    ///
    /// When the connection is lost; then the message comes again.
    pub async fn reject(self) -> Result<()> {
        self.unanswered.answer(Answer::Never).await
    }
}

impl Unanswered {
    async fn answer(mut self, answer: Answer) -> Result<()> {
        let Some(arrived) = self.arrived.take() else {
            return Ok(());
        };
        let sent = timeout(self.patience, send(arrived, answer)).await;
        if sent.unwrap_or(Err(Error::TimedOut))? {
            Ok(())
        } else {
            // The channel on which it came is gone.
            Err(Error::Cancelled)
        }
    }
}

impl Drop for Unanswered {
    fn drop(&mut self) {
        // Otherwise it would take a place among those prefetched as long as the connection lasts.
        if let (Some(arrived), Ok(runtime)) = (self.arrived.take(), Handle::try_current()) {
            runtime.spawn(send(arrived, Answer::Again));
        }
    }
}

async fn send(arrived: Box<Arrived>, answer: Answer) -> Result<bool> {
    let again = |requeue| BasicNackOptions {
        requeue,
        ..BasicNackOptions::default()
    };
    Ok(match answer {
        Answer::Done => arrived.ack(BasicAckOptions::default()).await?,
        Answer::Again => arrived.nack(again(true)).await?,
        Answer::Never => arrived.nack(again(false)).await?,
    })
}
