//! One connection to the broker.

use std::{sync::Arc, time::Duration};

use lapin::{
    BasicProperties, Channel, Confirmation, Connection as AmqpConnection, ConnectionProperties,
    options::{BasicPublishOptions, ConfirmSelectOptions},
    protocol::constants::REPLY_SUCCESS,
    uri::AMQPUri,
};
use tokio::{runtime::Handle, time::timeout};
use tracing::Span;

use crate::{
    Error, Options, Result, message,
    network::{self, Socket},
    topology::Topology,
    trace,
};

/// Time limit of an orderly close.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// The delivery mode of messages that survive a restart of the broker.
const PERSISTENT: u8 = 2;

/// An open connection, with all exchanges and queues declared.
///
/// Dropping it closes the connection in the background.
#[derive(Debug)]
pub(crate) struct Connection {
    open: Option<Open>,
    publishing: Channel,
    topology: Arc<Topology>,
}

#[derive(Debug)]
struct Open {
    // Dropped before the socket, which is shut down on drop.
    connection: AmqpConnection,
    socket: Socket,
}

impl Connection {
    /// Connects, and declares the exchanges and queues.
    pub(crate) async fn open(
        options: &Options,
        uri: &AMQPUri,
        topology: &Arc<Topology>,
    ) -> Result<Self> {
        let time_limit = options.connect_timeout;
        // A timeout drops the socket, which ends the tasks that the library has started.
        let socket = Socket::default();
        let connector = socket.connector();
        let connecting = async {
            let properties = ConnectionProperties::default()
                .with_connection_name(options.prefix.as_str().into());
            let connection = AmqpConnection::connector(
                uri.clone(),
                network::runtime(),
                async move |uri, _| connector.connect(&uri, time_limit).await,
                properties,
            )
            .await?;
            let publishing = connection.create_channel().await?;
            topology.declare(&publishing).await?;
            let confirming = publishing.confirm_select(ConfirmSelectOptions::default());
            confirming.await?;
            Ok::<_, Error>((connection, publishing))
        };
        let connected = timeout(time_limit, connecting).await;
        let (connection, publishing) = connected.unwrap_or(Err(Error::TimedOut))?;
        Ok(Self {
            open: Some(Open { connection, socket }),
            publishing,
            topology: Arc::clone(topology),
        })
    }

    pub(crate) fn topology(&self) -> &Topology {
        &self.topology
    }

    pub(crate) fn is_usable(&self) -> bool {
        self.publishing.status().connected()
            && self
                .open
                .as_ref()
                .is_some_and(|open| open.connection.status().connected())
    }

    /// Opens a channel for a single operation or consumer.
    pub(crate) async fn channel(&self) -> Result<Channel> {
        match &self.open {
            Some(open) => Ok(open.connection.create_channel().await?),
            None => Err(Error::Closed),
        }
    }

    /// Publishes jobs, and waits until the broker has confirmed all of them.
    pub(crate) async fn publish(&self, jobs: &[i64]) -> Result<()> {
        let spans: Vec<_> = jobs
            .iter()
            .map(|_| trace::publishing(&self.topology, jobs.len()))
            .collect();
        let published = self.publish_in_spans(jobs, &spans).await;
        published.inspect_err(|error| trace::record_failure(&spans, error))
    }

    async fn publish_in_spans(&self, jobs: &[i64], spans: &[Span]) -> Result<()> {
        let options = BasicPublishOptions {
            mandatory: true,
            ..BasicPublishOptions::default()
        };
        let properties = BasicProperties::default()
            .with_content_type("application/json".into())
            .with_delivery_mode(PERSISTENT);
        let mut confirms = Vec::with_capacity(jobs.len());
        for (job, span) in jobs.iter().zip(spans) {
            let message = message::write(*job);
            let (exchange, key) = (&self.topology.exchange, &self.topology.copies);
            let publishing = self.publishing.basic_publish(
                exchange.clone(),
                key.clone(),
                options,
                &message,
                properties.clone().with_headers(trace::headers(span)),
            );
            confirms.push(publishing.await?);
        }
        for confirm in confirms {
            // A message without a queue is confirmed as well. The broker returns it before it confirms it,
            // so the confirmation contains it.
            if confirm.await? != Confirmation::Ack(None) {
                return Err(Error::NotConfirmed);
            }
        }
        Ok(())
    }

    /// Shuts the socket down, which ends the connection at once.
    pub(crate) fn abort(&self) {
        if let Some(open) = &self.open {
            open.socket.shut_down();
        }
    }

    /// Closes the connection in order, within [`CLOSE_TIMEOUT`].
    pub(crate) async fn close(mut self) {
        if let Some(open) = self.open.take() {
            open.close().await;
        }
    }
}

impl Open {
    async fn close(self) {
        // After a timeout, dropping the socket ends the connection.
        let _ = timeout(
            CLOSE_TIMEOUT,
            self.connection.close(REPLY_SUCCESS, "OK".into()),
        )
        .await;
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if let (Some(open), Ok(runtime)) = (self.open.take(), Handle::try_current()) {
            runtime.spawn(open.close());
        }
    }
}
