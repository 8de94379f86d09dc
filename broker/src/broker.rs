//! The handle to the broker: publishing, consuming, queue depths and shutdown.

use std::{fmt, sync::Arc};

use lapin::uri::AMQPUri;
use tokio::{
    sync::{Mutex, watch},
    time::{Instant, timeout_at},
};

use crate::{
    Deliveries, Error, Options, Result,
    backoff::ReconnectBackoff,
    connection::Connection,
    topology::{Topology, inspect_queue},
};

/// A broker. The connection is opened on first use, and again after it was lost.
///
/// Clones are cheap and share the connection.
#[derive(Clone)]
pub struct Broker(Arc<Shared>);

struct Shared {
    options: Options,
    uri: AMQPUri,
    topology: Arc<Topology>,
    backoff: ReconnectBackoff,
    /// The connection for everything but consuming. A broker that is short of memory or disk stops
    /// reading from connections that publish, but must still receive the acks of consumers.
    connection: Mutex<Option<Arc<Connection>>>,
    closed: watch::Sender<bool>,
}

/// The numbers of messages and consumers of the queues.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueDepth {
    /// Messages that are ready for delivery.
    pub ready: u32,
    /// Dead letters.
    pub dead: u32,
    /// Consumers of all processes.
    pub consumers: u32,
}

impl Broker {
    /// Checks the options, and creates a broker without connecting to it.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidOptions`] when an option is not valid.
    pub fn new(options: Options) -> Result<Self> {
        Ok(Self(Arc::new(Shared {
            uri: options.check()?,
            topology: Arc::new(Topology::new(&options.prefix)),
            options,
            backoff: ReconnectBackoff::default(),
            connection: Mutex::default(),
            closed: watch::Sender::new(false),
        })))
    }

    /// Publishes the ids of jobs, and waits until the broker has confirmed all of them.
    ///
    /// After an error, any of them may or may not have been published: publish all of them again.
    ///
    /// # Errors
    ///
    /// [`Error::NotConfirmed`] when the broker refuses a message or cannot route it to a queue; another
    /// error when the broker does not answer.
    pub async fn publish(&self, jobs: &[i64]) -> Result<()> {
        if jobs.is_empty() {
            return Ok(());
        }
        let outcome = self
            .operate(async |connection| connection.publish(jobs).await)
            .await;
        if let Err(Error::NotConfirmed) = outcome {
            // The queue may have been deleted, and is only declared on a new connection.
            self.reset().await;
        }
        outcome
    }

    /// Starts a consumer on a connection of its own.
    ///
    /// After a failed connection attempt it first waits for the backoff, so a caller may retry in a
    /// loop.
    ///
    /// # Errors
    ///
    /// When the broker is unreachable, or refuses the connection or the consumer.
    pub async fn consume(&self) -> Result<Deliveries> {
        let mut closed = self.0.closed.subscribe();
        tokio::select! {
            // An error is impossible: `self` holds the sender.
            _ = closed.wait_for(|closed| *closed) => return Err(Error::Closed),
            () = self.0.backoff.wait() => {}
        }
        let connection = self.open().await?;
        Deliveries::open(connection, &self.0.options, closed).await
    }

    /// Returns the depth of the queues.
    ///
    /// # Errors
    ///
    /// When the broker does not answer.
    pub async fn depth(&self) -> Result<QueueDepth> {
        self.operate(async |connection| {
            let channel = connection.channel().await?;
            let jobs = inspect_queue(&channel, &connection.topology().copies).await?;
            let dead = inspect_queue(&channel, &connection.topology().dead).await?;
            Ok(QueueDepth {
                ready: jobs.message_count(),
                dead: dead.message_count(),
                consumers: jobs.consumer_count(),
            })
        })
        .await
    }

    /// Checks that the broker is reachable and the queue of jobs exists.
    ///
    /// # Errors
    ///
    /// When jobs cannot be published.
    pub async fn probe(&self) -> Result<()> {
        self.operate(async |connection| {
            let channel = connection.channel().await?;
            inspect_queue(&channel, &connection.topology().copies)
                .await
                .map(drop)
        })
        .await
    }

    /// Closes the connections, and ends all [`Deliveries`].
    pub async fn close(self) {
        self.0.closed.send_replace(true);
        let connection = self.0.connection.lock().await.take();
        if let Some(connection) = connection.and_then(Arc::into_inner) {
            connection.close().await;
        }
    }

    /// Runs an operation on the shared connection, within the time limit of operations.
    pub(crate) async fn operate<T>(
        &self,
        operation: impl AsyncFnOnce(&Connection) -> Result<T>,
    ) -> Result<T> {
        let deadline = Instant::now() + self.0.options.operation_timeout;
        let connection = timeout_at(deadline, self.connection()).await;
        let connection = connection.unwrap_or(Err(Error::TimedOut))?;
        let Ok(outcome) = timeout_at(deadline, operation(&connection)).await else {
            // A pending reply would only keep the connection open.
            connection.abort();
            return Err(Error::TimedOut);
        };
        outcome
    }

    async fn connection(&self) -> Result<Arc<Connection>> {
        let mut current = self.0.connection.lock().await;
        if let Some(connection) = current.as_ref().filter(|connection| connection.is_usable()) {
            return Ok(Arc::clone(connection));
        }
        *current = None;
        self.0.backoff.check()?;
        let connection = Arc::new(self.open().await?);
        *current = Some(Arc::clone(&connection));
        Ok(connection)
    }

    async fn reset(&self) {
        *self.0.connection.lock().await = None;
    }

    async fn open(&self) -> Result<Connection> {
        if *self.0.closed.borrow() {
            return Err(Error::Closed);
        }
        let shared = &self.0;
        let opened = Connection::open(&shared.options, &shared.uri, &shared.topology).await;
        shared.backoff.record(opened)
    }
}

impl fmt::Debug for Broker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Broker").field(&self.0.options).finish()
    }
}
