//! Dead letters: listing, requeuing and purging them.

use std::time::Duration;

use lapin::{
    Channel,
    message::{BasicGetMessage, Delivery},
    options::{BasicAckOptions, BasicGetOptions, BasicNackOptions},
    protocol::constants::REPLY_SUCCESS,
    types::{AMQPValue, FieldTable},
};
use tokio::time::sleep;

use crate::{Broker, Result, connection::Connection, message, topology::inspect_queue};

/// The maximum length of a shown body, in characters.
const MAX_BODY_CHARS: usize = 200;

/// How often and at which interval to poll whether all dead letters are back in the queue.
const MAX_POLLS: u32 = 40;
const POLL_INTERVAL: Duration = Duration::from_millis(25);

/// A message in the queue of dead letters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// At most 200 characters of the body, with replacement characters for invalid UTF-8.
    pub body: String,
    /// The broker's reason: `rejected` or `delivery_limit`; empty if the message was not
    /// dead-lettered by the broker.
    pub reason: String,
    /// The number of times it was dead-lettered for that reason.
    pub count: u64,
}

/// Dead letters that are fetched without an ack. They return to the queue when this is dropped.
struct Inspection {
    channel: Channel,
    /// The number of messages still to fetch. It is fixed at the start, since messages may arrive
    /// or return meanwhile.
    remaining: u32,
    /// The number of messages that the queue must hold in the end.
    kept: u32,
}

impl Broker {
    /// Lists dead letters. They stay in the queue, but their order may change.
    ///
    /// # Errors
    ///
    /// When the broker does not answer.
    pub async fn dead_letters(&self, limit: u32) -> Result<Vec<DeadLetter>> {
        self.operate(async |connection| {
            let mut inspection = Inspection::start(connection).await?;
            inspection.remaining = inspection.remaining.min(limit);
            let mut found = Vec::new();
            while let Some(dead) = inspection.next(connection).await? {
                found.push(DeadLetter::of(&dead.delivery));
            }
            inspection.end(connection).await?;
            Ok(found)
        })
        .await
    }

    /// Moves the readable dead letters back to the queue of jobs, and returns their number.
    ///
    /// # Errors
    ///
    /// When the broker does not answer. Some messages may have been moved by then; none is lost.
    pub async fn requeue_dead_letters(&self) -> Result<u64> {
        self.remove_matching(async |connection, dead| match message::read(&dead.data) {
            Ok(job) => connection.publish(&[job]).await.map(|()| true),
            Err(_) => Ok(false),
        })
        .await
    }

    /// Deletes the dead letters that cannot be read, and returns their number.
    ///
    /// # Errors
    ///
    /// When the broker does not answer. Some messages may have been deleted by then.
    pub async fn purge_unreadable(&self) -> Result<u64> {
        self.remove_matching(async |_, dead| Ok(message::read(&dead.data).is_err()))
            .await
    }

    /// Removes the dead letters for which `remove` returns true, and returns their number.
    async fn remove_matching(
        &self,
        remove: impl AsyncFn(&Connection, &BasicGetMessage) -> Result<bool>,
    ) -> Result<u64> {
        self.operate(async |connection| {
            let mut inspection = Inspection::start(connection).await?;
            let mut removed = 0;
            while let Some(dead) = inspection.next(connection).await? {
                if remove(connection, &dead).await? {
                    inspection.settle(&dead).await?;
                    removed += 1;
                }
            }
            inspection.end(connection).await?;
            Ok(removed)
        })
        .await
    }
}

impl Inspection {
    async fn start(connection: &Connection) -> Result<Self> {
        let channel = connection.channel().await?;
        let remaining = inspect_queue(&channel, &connection.topology().dead)
            .await?
            .message_count();
        Ok(Self {
            channel,
            remaining,
            kept: remaining,
        })
    }

    async fn next(&mut self, connection: &Connection) -> Result<Option<BasicGetMessage>> {
        let Some(remaining) = self.remaining.checked_sub(1) else {
            return Ok(None);
        };
        self.remaining = remaining;
        let dead = connection.topology().dead.clone();
        let getting = self.channel.basic_get(dead, BasicGetOptions::default());
        Ok(getting.await?)
    }

    async fn settle(&mut self, dead: &BasicGetMessage) -> Result<()> {
        dead.ack(BasicAckOptions::default()).await?;
        self.kept = self.kept.saturating_sub(1);
        Ok(())
    }

    /// Returns the remaining messages to the queue, and waits a short time until they are back.
    async fn end(self, connection: &Connection) -> Result<()> {
        // Delivery tag 0 with `multiple` means all messages of the channel.
        let all = BasicNackOptions {
            multiple: true,
            requeue: true,
        };
        self.channel.basic_nack(0, all).await?;
        // The broker does not confirm a nack. The count may stay lower if another client fetches them.
        for _ in 0..MAX_POLLS {
            let dead = inspect_queue(&self.channel, &connection.topology().dead).await?;
            if dead.message_count() >= self.kept {
                break;
            }
            sleep(POLL_INTERVAL).await;
        }
        let closing = self.channel.close(REPLY_SUCCESS, "OK".into());
        Ok(closing.await?)
    }
}

impl DeadLetter {
    fn of(delivery: &Delivery) -> Self {
        let body = String::from_utf8_lossy(&delivery.data);
        let (reason, count) = death(delivery).unwrap_or_default();
        Self {
            body: body.chars().take(MAX_BODY_CHARS).collect(),
            reason,
            count,
        }
    }
}

/// The reason and count of the last dead-lettering, from the header `x-death`.
fn death(delivery: &Delivery) -> Option<(String, u64)> {
    let headers = delivery.properties.headers().as_ref()?;
    let AMQPValue::FieldArray(deaths) = headers.inner().get("x-death")? else {
        return None;
    };
    let AMQPValue::FieldTable(last) = deaths.as_slice().first()? else {
        return None;
    };
    Some((text(last, "reason")?, number(last, "count")?))
}

fn text(table: &FieldTable, key: &str) -> Option<String> {
    match table.inner().get(key)? {
        AMQPValue::LongString(text) => Some(text.to_string()),
        _ => None,
    }
}

fn number(table: &FieldTable, key: &str) -> Option<u64> {
    match table.inner().get(key)? {
        AMQPValue::LongLongInt(number) => u64::try_from(*number).ok(),
        _ => None,
    }
}
