//! The messages that nobody consumes any more.

use lapin::{
    Channel,
    message::{BasicGetMessage, Delivery},
    options::{BasicAckOptions, BasicGetOptions, BasicNackOptions},
    types::{AMQPValue, FieldTable},
};

use crate::{Broker, Error, Result, link::Link, message, topology::look_at};

/// How many characters of a message are shown.
const SHOWN: usize = 200;

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
            inspection.end().await?;
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
                    dead.ack(BasicAckOptions::default()).await?;
                    settled += 1;
                }
            }
            inspection.end().await?;
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
        Ok(Self { channel, left })
    }

    async fn next(&mut self, link: &Link) -> Result<Option<BasicGetMessage>> {
        let Some(left) = self.left.checked_sub(1) else {
            return Ok(None);
        };
        self.left = left;
        let dead = link.topology().dead.clone();
        Ok(self
            .channel
            .basic_get(dead, BasicGetOptions::default())
            .await?)
    }

    /// Puts all back that were not settled, and waits until they are.
    async fn end(self) -> Result<()> {
        // To answer "all up to 0" is to answer all.
        let all = BasicNackOptions {
            multiple: true,
            requeue: true,
        };
        self.channel.basic_nack(0, all).await?;
        let closing = self
            .channel
            .close(lapin::protocol::constants::REPLY_SUCCESS, "OK".into());
        closing.await.map_err(Error::from)
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
