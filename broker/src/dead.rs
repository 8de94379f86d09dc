//! The messages that nobody consumes any more.

use std::time::Duration;

use lapin::{
    Channel,
    message::{BasicGetMessage, Delivery},
    options::{BasicAckOptions, BasicGetOptions, BasicNackOptions},
    protocol::constants::REPLY_SUCCESS,
    types::{AMQPValue, FieldTable},
};
use tokio::time::sleep;

use crate::{Broker, Result, link::Link, message, topology::look_at};

/// How many characters of a message are shown.
const SHOWN: usize = 200;

/// How often, and how long after each other, to see whether the dead are back where they were.
const LOOKS: u32 = 40;
const BETWEEN_LOOKS: Duration = Duration::from_millis(25);

/// A message that was set aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadMessage {
    /// What it says, as far as that is text, and not more than 200 characters.
    pub body: String,
    /// Why it was set aside, in the broker's words: `rejected` or `delivery_limit`; empty if it
    /// was put there by somebody else.
    pub reason: String,
    /// How often that happened to it.
    pub count: u64,
}

/// The dead messages, which are taken out for looking at them, and go back when this is dropped.
struct Inspection {
    channel: Channel,
    /// How many there were in the beginning: some may come, or come back, meanwhile.
    left: u32,
    /// How many there have to be in the end.
    staying: u32,
}

impl Broker {
    /// Looks at dead messages, which stay where they are, but not in their order.
    ///
    /// # Errors
    ///
    /// When the broker does not answer.
    pub async fn dead(&self, limit: u32) -> Result<Vec<DeadMessage>> {
        self.operate(async |link| {
            let mut inspection = Inspection::begin(link).await?;
            inspection.left = inspection.left.min(limit);
            let mut found = Vec::new();
            while let Some(dead) = inspection.next(link).await? {
                found.push(DeadMessage::of(&dead.delivery));
            }
            inspection.end(link).await?;
            Ok(found)
        })
        .await
    }

    /// Moves the dead messages that can be read back to the workers, and says how many.
    ///
    /// # Errors
    ///
    /// When the broker does not answer, which may be after some of them were moved; none is lost.
    pub async fn requeue_dead(&self) -> Result<u64> {
        self.sift(async |link, dead| match message::read(&dead.data) {
            Ok(job) => link.publish(&[job]).await.map(|()| true),
            Err(_) => Ok(false),
        })
        .await
    }

    /// Drops the dead messages that cannot be read, and says how many.
    ///
    /// # Errors
    ///
    /// When the broker does not answer, which may be after some of them were dropped.
    pub async fn purge_dead(&self) -> Result<u64> {
        self.sift(async |_, dead| Ok(message::read(&dead.data).is_err()))
            .await
    }

    /// Removes the dead messages for which `is_settled` says so; the others stay.
    async fn sift(
        &self,
        is_settled: impl AsyncFn(&Link, &BasicGetMessage) -> Result<bool>,
    ) -> Result<u64> {
        self.operate(async |link| {
            let mut inspection = Inspection::begin(link).await?;
            let mut settled = 0;
            while let Some(dead) = inspection.next(link).await? {
                if is_settled(link, &dead).await? {
                    inspection.settle(&dead).await?;
                    settled += 1;
                }
            }
            inspection.end(link).await?;
            Ok(settled)
        })
        .await
    }
}

impl Inspection {
    async fn begin(link: &Link) -> Result<Self> {
        let channel = link.channel().await?;
        let left = look_at(&channel, &link.topology().dead)
            .await?
            .message_count();
        Ok(Self {
            channel,
            left,
            staying: left,
        })
    }

    async fn next(&mut self, link: &Link) -> Result<Option<BasicGetMessage>> {
        let Some(left) = self.left.checked_sub(1) else {
            return Ok(None);
        };
        self.left = left;
        let dead = link.topology().dead.clone();
        let getting = self.channel.basic_get(dead, BasicGetOptions::default());
        Ok(getting.await?)
    }

    async fn settle(&mut self, dead: &BasicGetMessage) -> Result<()> {
        dead.ack(BasicAckOptions::default()).await?;
        self.staying = self.staying.saturating_sub(1);
        Ok(())
    }

    /// Puts all back that were not settled, and waits until they are, if that is soon.
    async fn end(self, link: &Link) -> Result<()> {
        // To answer "all up to 0" is to answer all.
        let all = BasicNackOptions {
            multiple: true,
            requeue: true,
        };
        self.channel.basic_nack(0, all).await?;
        // It is not confirmed. They may not all come back, if somebody else takes them out.
        for _ in 0..LOOKS {
            let dead = look_at(&self.channel, &link.topology().dead).await?;
            if dead.message_count() >= self.staying {
                break;
            }
            sleep(BETWEEN_LOOKS).await;
        }
        let closing = self.channel.close(REPLY_SUCCESS, "OK".into());
        Ok(closing.await?)
    }
}

impl DeadMessage {
    fn of(delivery: &Delivery) -> Self {
        let body = String::from_utf8_lossy(&delivery.data);
        let (reason, count) = death(delivery).unwrap_or_default();
        Self {
            body: body.chars().take(SHOWN).collect(),
            reason,
            count,
        }
    }
}

/// Why and how often a message was set aside the last time.
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
