//! The broker, as those who publish and those who look after it see it.

use std::{fmt, sync::Arc};

use lapin::uri::AMQPUri;
use tokio::{
    sync::{Mutex, watch},
    time::{Instant, timeout_at},
};

use crate::{
    Deliveries, Error, Options, Result,
    link::Link,
    schedule::Schedule,
    topology::{Topology, look_at},
};

/// A broker, which is connected to when it is needed, and again when the connection was lost.
///
/// Cloning it is cheap, and gives the same broker.
#[derive(Clone)]
pub struct Broker(Arc<Shared>);

struct Shared {
    options: Options,
    uri: AMQPUri,
    topology: Arc<Topology>,
    schedule: Schedule,
    /// For everything but consuming: a broker that is short of memory or disk reads nothing more
    /// from connections that publish, and has to hear of finished jobs all the same.
    link: Mutex<Option<Arc<Link>>>,
    closed: watch::Sender<bool>,
}

/// How much the queues have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Depth {
    /// How many messages wait for a consumer.
    pub ready: u32,
    /// How many messages wait for somebody to look at them.
    pub dead: u32,
    /// How many consumers there are, in all processes.
    pub consumers: u32,
}

impl Broker {
    /// Makes a broker of its options, without connecting to it.
    ///
    /// # Errors
    ///
    /// [`Error::Unusable`] when the options cannot be right.
    pub fn new(options: Options) -> Result<Self> {
        Ok(Self(Arc::new(Shared {
            uri: options.check()?,
            topology: Arc::new(Topology::new(&options.prefix)),
            options,
            schedule: Schedule::default(),
            link: Mutex::default(),
            closed: watch::Sender::new(false),
        })))
    }

    /// Publishes the ids of jobs, and waits until the broker has all of them safe.
    ///
    /// When this fails, any of them may have been taken or not: publish all of them again.
    ///
    /// # Errors
    ///
    /// [`Error::NotTaken`] when the broker refuses one or has no queue for it, and whatever else
    /// keeps the broker from answering.
    pub async fn publish(&self, jobs: &[i64]) -> Result<()> {
        if jobs.is_empty() {
            return Ok(());
        }
        let outcome = self.operate(async |link| link.publish(jobs).await).await;
        if let Err(Error::NotTaken) = outcome {
            // The queue may be gone, and is declared on a new connection only.
            self.reset().await;
        }
        outcome
    }

    /// Begins to consume, on a connection of its own.
    ///
    /// If the broker could not be reached a moment ago this waits first, so it can be called in a
    /// loop.
    ///
    /// # Errors
    ///
    /// When the broker cannot be reached, or refuses.
    pub async fn consume(&self) -> Result<Deliveries> {
        let mut closed = self.0.closed.subscribe();
        tokio::select! {
            // The sender is alive as long as this.
            _ = closed.wait_for(|closed| *closed) => return Err(Error::Closed),
            () = self.0.schedule.wait() => {}
        }
        let link = self.open().await?;
        Deliveries::begin(link, &self.0.options, closed).await
    }

    /// How much the queues have.
    ///
    /// # Errors
    ///
    /// When the broker does not answer.
    pub async fn depth(&self) -> Result<Depth> {
        self.operate(async |link| {
            let channel = link.channel().await?;
            let copies = look_at(&channel, &link.topology().copies).await?;
            let dead = look_at(&channel, &link.topology().dead).await?;
            Ok(Depth {
                ready: copies.message_count(),
                dead: dead.message_count(),
                consumers: copies.consumer_count(),
            })
        })
        .await
    }

    /// Makes sure that jobs can be published.
    ///
    /// # Errors
    ///
    /// When they cannot.
    pub async fn probe(&self) -> Result<()> {
        self.operate(async |link| {
            let channel = link.channel().await?;
            look_at(&channel, &link.topology().copies).await.map(drop)
        })
        .await
    }

    /// Closes the connections; all [`Deliveries`] end.
    pub async fn close(self) {
        self.0.closed.send_replace(true);
        let link = self.0.link.lock().await.take();
        if let Some(link) = link.and_then(Arc::into_inner) {
            link.close().await;
        }
    }

    /// Does something on the shared connection, in bounded time.
    pub(crate) async fn operate<T>(&self, work: impl AsyncFnOnce(&Link) -> Result<T>) -> Result<T> {
        let end = Instant::now() + self.0.options.operation_timeout;
        let link = timeout_at(end, self.link()).await;
        let link = link.unwrap_or(Err(Error::TimedOut))?;
        let Ok(outcome) = timeout_at(end, work(&link)).await else {
            // Whatever it waits for, nobody wants it any more.
            link.cut();
            return Err(Error::TimedOut);
        };
        outcome
    }

    async fn link(&self) -> Result<Arc<Link>> {
        let mut current = self.0.link.lock().await;
        if let Some(link) = current.as_ref().filter(|link| link.is_usable()) {
            return Ok(Arc::clone(link));
        }
        *current = None;
        self.0.schedule.check()?;
        let link = Arc::new(self.open().await?);
        *current = Some(Arc::clone(&link));
        Ok(link)
    }

    async fn reset(&self) {
        *self.0.link.lock().await = None;
    }

    async fn open(&self) -> Result<Link> {
        if *self.0.closed.borrow() {
            return Err(Error::Closed);
        }
        let shared = &self.0;
        let opened = Link::open(&shared.options, &shared.uri, &shared.topology).await;
        shared.schedule.note(opened)
    }
}

impl fmt::Debug for Broker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Broker").field(&self.0.options).finish()
    }
}
