//! The exchanges and the queues.

use lapin::{
    Channel, ExchangeKind, Queue,
    options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions},
    types::{AMQPValue, FieldTable, ShortString},
};

use crate::{Error, Result};

/// How often a message may come back before it is taken for one that kills its consumers.
///
/// Every loss of a consumer counts against all that it had been sent, so there has to be room for
/// a few restarts.
const RETURNS: i64 = 20;

/// Their names.
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

    /// Declares all of them, which changes nothing if they are there.
    pub(crate) async fn declare(&self, channel: &Channel) -> Result<()> {
        self.try_declare(channel)
            .await
            .map_err(Error::of_declaration)
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

        // Looking at the dead ones counts as a return, and must not be the end of them; newer
        // brokers have a limit unless they are told of another.
        let of_dead = quorum(i64::from(i32::MAX));
        declare_queue(channel, &self.dead, of_dead).await?;
        let mut of_copies = quorum(RETURNS);
        let dead = AMQPValue::LongString(self.dead.as_str().into());
        of_copies.insert("x-dead-letter-exchange".into(), dead);
        declare_queue(channel, &self.copies, of_copies).await?;

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

/// What a queue has at the moment, which has to be there.
pub(crate) async fn look_at(channel: &Channel, queue: &ShortString) -> Result<Queue> {
    let passive = QueueDeclareOptions {
        passive: true,
        ..QueueDeclareOptions::default()
    };
    let looked = channel.queue_declare(queue.clone(), passive, FieldTable::default());
    Ok(looked.await?)
}

fn quorum(returns: i64) -> FieldTable {
    let mut arguments = FieldTable::default();
    arguments.insert(
        "x-queue-type".into(),
        AMQPValue::LongString("quorum".into()),
    );
    arguments.insert("x-delivery-limit".into(), AMQPValue::LongLongInt(returns));
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
