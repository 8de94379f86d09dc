//! The exchanges and queues.

use lapin::{
    Channel, ExchangeKind, Queue,
    options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions},
    types::{AMQPValue, FieldTable, ShortString},
};

use crate::{Error, Result};

/// Number of returns to the queue after which a message becomes a dead letter, since it may crash
/// its consumers.
///
/// The loss of a consumer counts for each of its unacknowledged messages, so the limit has to allow
/// a few restarts.
const DELIVERY_LIMIT: i64 = 20;

/// The names of exchanges and queues.
#[derive(Debug)]
pub(crate) struct Topology {
    pub(crate) exchange: ShortString,
    pub(crate) copies: ShortString,
    pub(crate) dead: ShortString,
}

impl Topology {
    pub(crate) fn new(prefix: &str) -> Self {
        Self {
            exchange: prefix.into(),
            copies: format!("{prefix}.copies").into(),
            dead: format!("{prefix}.dead").into(),
        }
    }

    /// Declares all exchanges, queues and bindings. Existing ones stay as they are.
    pub(crate) async fn declare(&self, channel: &Channel) -> Result<()> {
        self.try_declare(channel)
            .await
            .map_err(Error::from_declaration)
    }

    async fn try_declare(&self, channel: &Channel) -> lapin::Result<()> {
        let durable = ExchangeDeclareOptions {
            durable: true,
            ..ExchangeDeclareOptions::default()
        };
        let kinds = [
            (&self.exchange, ExchangeKind::Direct),
            (&self.dead, ExchangeKind::Fanout),
        ];
        for (exchange, kind) in kinds {
            let arguments = FieldTable::default();
            channel
                .exchange_declare(exchange.clone(), kind, durable, arguments)
                .await?;
        }

        // Listing dead letters counts as a return, and must not delete them. Newer brokers have a
        // default limit, so a high one is set.
        let dead_arguments = quorum(i64::from(i32::MAX));
        declare_queue(channel, &self.dead, dead_arguments).await?;
        let mut job_arguments = quorum(DELIVERY_LIMIT);
        let dead = AMQPValue::LongString(self.dead.as_str().into());
        job_arguments.insert("x-dead-letter-exchange".into(), dead);
        declare_queue(channel, &self.copies, job_arguments).await?;

        let bindings = [(&self.dead, &self.dead), (&self.copies, &self.exchange)];
        for (queue, exchange) in bindings {
            let (options, arguments) = (QueueBindOptions::default(), FieldTable::default());
            let key = self.copies.clone();
            channel
                .queue_bind(queue.clone(), exchange.clone(), key, options, arguments)
                .await?;
        }
        Ok(())
    }
}

/// Returns the counts of a queue. It must exist.
pub(crate) async fn inspect_queue(channel: &Channel, queue: &ShortString) -> Result<Queue> {
    let passive = QueueDeclareOptions {
        passive: true,
        ..QueueDeclareOptions::default()
    };
    let inspected = channel.queue_declare(queue.clone(), passive, FieldTable::default());
    Ok(inspected.await?)
}

fn quorum(delivery_limit: i64) -> FieldTable {
    let mut arguments = FieldTable::default();
    arguments.insert(
        "x-queue-type".into(),
        AMQPValue::LongString("quorum".into()),
    );
    arguments.insert(
        "x-delivery-limit".into(),
        AMQPValue::LongLongInt(delivery_limit),
    );
    arguments
}

async fn declare_queue(
    channel: &Channel,
    queue: &ShortString,
    arguments: FieldTable,
) -> lapin::Result<Queue> {
    let durable = QueueDeclareOptions {
        durable: true,
        ..QueueDeclareOptions::default()
    };
    channel
        .queue_declare(queue.clone(), durable, arguments)
        .await
}
