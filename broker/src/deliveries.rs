//! A consumer of the queue of jobs, and the acks of its messages.

use std::time::Duration;

use futures_util::StreamExt as _;
use lapin::{
    Consumer,
    message::Delivery as AmqpDelivery,
    options::{BasicAckOptions, BasicConsumeOptions, BasicNackOptions, BasicQosOptions},
    types::FieldTable,
};
use tokio::{runtime::Handle, sync::watch, time::timeout};
use tracing::Span;

use crate::{Error, Options, Result, connection::Connection, message, trace};

/// The deliveries of one consumer.
///
/// Dropping it closes its connection; messages without an ack return to the queue.
#[derive(Debug)]
pub struct Deliveries {
    consumer: Consumer,
    connection: Connection,
    operation_timeout: Duration,
    closed: watch::Receiver<bool>,
}

/// A delivered message. It must be acked, requeued or rejected.
///
/// A message that is dropped returns to the queue.
#[must_use = "the message is delivered again unless it is acked or rejected"]
#[derive(Debug)]
pub struct Delivery {
    /// The id of the job.
    pub job: i64,
    /// The trace span for the work on the job.
    pub span: Span,
    pending_ack: PendingAck,
}

#[derive(Debug)]
struct PendingAck {
    delivery: Option<Box<AmqpDelivery>>,
    operation_timeout: Duration,
}

/// The outcome of a delivery, as it is reported to the broker.
enum Settlement {
    Ack,
    Requeue,
    Reject,
}

impl Deliveries {
    pub(crate) async fn open(
        connection: Connection,
        options: &Options,
        closed: watch::Receiver<bool>,
    ) -> Result<Self> {
        let operation_timeout = options.operation_timeout;
        let consume = async {
            let channel = connection.channel().await?;
            let qos = BasicQosOptions::default();
            channel.basic_qos(options.prefetch, qos).await?;
            let queue = connection.topology().copies.clone();
            let (options, arguments) = (BasicConsumeOptions::default(), FieldTable::default());
            Ok(channel
                .basic_consume(queue, "".into(), options, arguments)
                .await?)
        };
        let consumer = timeout(operation_timeout, consume).await;
        Ok(Self {
            consumer: consumer.unwrap_or(Err(Error::TimedOut))?,
            connection,
            operation_timeout,
            closed,
        })
    }

    /// Waits for the next message; `None` when the broker was [closed](crate::Broker::close).
    ///
    /// A message that cannot be read becomes a dead letter, and is not returned. Cancelling this
    /// future loses no message.
    ///
    /// # Errors
    ///
    /// When the connection is lost or the broker cancels the consumer. No more messages arrive
    /// after that: start a [new consumer](crate::Broker::consume).
    pub async fn next(&mut self) -> Result<Option<Delivery>> {
        loop {
            let received = tokio::select! {
                biased;
                // An error means that the broker was dropped, which ends the deliveries as well.
                _ = self.closed.wait_for(|closed| *closed) => return Ok(None),
                received = self.consumer.next() => received,
            };
            let received = received.ok_or(Error::Cancelled)?;
            let received = received.inspect_err(|_| self.connection.abort())?;
            let read = message::read(&received.data);
            let span = trace::processing(self.connection.topology(), &received.properties);
            let pending_ack = PendingAck {
                delivery: Some(Box::new(received)),
                operation_timeout: self.operation_timeout,
            };
            match read {
                Ok(job) => {
                    return Ok(Some(Delivery {
                        job,
                        span,
                        pending_ack,
                    }));
                }
                Err(error) => {
                    tracing::warn!(%error, "could not read a message of the job queue, rejecting it");
                    pending_ack.settle(Settlement::Reject).await?;
                }
            }
        }
    }
}

impl Delivery {
    /// Acknowledges the message.
    ///
    /// The broker does not confirm an ack: if the connection is lost now, the message is delivered
    /// again.
    ///
    /// # Errors
    ///
    /// When the connection is lost.
    pub async fn ack(self) -> Result<()> {
        self.pending_ack.settle(Settlement::Ack).await
    }

    /// Returns the message to the queue. After 20 returns it becomes a dead letter.
    ///
    /// # Errors
    ///
    /// When the connection is lost. The message then returns to the queue as well.
    pub async fn requeue(self) -> Result<()> {
        self.pending_ack.settle(Settlement::Requeue).await
    }

    /// Rejects the message, which makes it a dead letter.
    ///
    /// # Errors
    ///
    /// When the connection is lost. The message is then delivered again.
    pub async fn reject(self) -> Result<()> {
        self.pending_ack.settle(Settlement::Reject).await
    }
}

impl PendingAck {
    async fn settle(mut self, settlement: Settlement) -> Result<()> {
        let Some(delivery) = self.delivery.take() else {
            return Ok(());
        };
        let sent = timeout(self.operation_timeout, send(delivery, settlement)).await;
        if sent.unwrap_or(Err(Error::TimedOut))? {
            Ok(())
        } else {
            // The channel of the delivery is closed.
            Err(Error::Cancelled)
        }
    }
}

impl Drop for PendingAck {
    fn drop(&mut self) {
        // Otherwise it would count as prefetched for as long as the connection lasts.
        if let (Some(delivery), Ok(runtime)) = (self.delivery.take(), Handle::try_current()) {
            runtime.spawn(send(delivery, Settlement::Requeue));
        }
    }
}

async fn send(delivery: Box<AmqpDelivery>, settlement: Settlement) -> Result<bool> {
    let nack = |requeue| BasicNackOptions {
        requeue,
        ..BasicNackOptions::default()
    };
    Ok(match settlement {
        Settlement::Ack => delivery.ack(BasicAckOptions::default()).await?,
        Settlement::Requeue => delivery.nack(nack(true)).await?,
        Settlement::Reject => delivery.nack(nack(false)).await?,
    })
}
