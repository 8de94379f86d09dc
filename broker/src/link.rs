//! One connection to the broker.

use std::{sync::Arc, time::Duration};

use lapin::{
    BasicProperties, Channel, Confirmation, Connection, ConnectionProperties,
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

/// How long the broker may take to say goodbye.
const GOODBYE: Duration = Duration::from_secs(1);

/// Kept on disk until it is delivered.
const PERSISTENT: u8 = 2;

/// A connection on which everything is declared.
///
/// Dropping it closes it in the background.
#[derive(Debug)]
pub(crate) struct Link {
    open: Option<Open>,
    publishing: Channel,
    topology: Arc<Topology>,
}

#[derive(Debug)]
struct Open {
    // Before the socket, which is cut when it is dropped.
    connection: Connection,
    socket: Socket,
}

impl Link {
    /// Connects, and declares what has to be there.
    pub(crate) async fn open(
        options: &Options,
        uri: &AMQPUri,
        topology: &Arc<Topology>,
    ) -> Result<Self> {
        let limit = options.connect_timeout;
        // If this gives up it drops the socket, which ends what the library has begun.
        let socket = Socket::default();
        let plug = socket.plug();
        let connecting = async {
            let properties = ConnectionProperties::default()
                .with_connection_name(options.prefix.as_str().into());
            let connection = Connection::connector(
                uri.clone(),
                network::runtime(),
                async move |uri, _| plug.connect(&uri, limit).await,
                properties,
            )
            .await?;
            let publishing = connection.create_channel().await?;
            topology.declare(&publishing).await?;
            let confirming = publishing.confirm_select(ConfirmSelectOptions::default());
            confirming.await?;
            Ok::<_, Error>((connection, publishing))
        };
        let connected = timeout(limit, connecting).await;
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

    /// Opens a channel for one purpose.
    pub(crate) async fn channel(&self) -> Result<Channel> {
        match &self.open {
            Some(open) => Ok(open.connection.create_channel().await?),
            None => Err(Error::Closed),
        }
    }

    /// Publishes jobs, and waits until the broker has all of them safe.
    pub(crate) async fn publish(&self, jobs: &[i64]) -> Result<()> {
        let spans: Vec<_> = jobs
            .iter()
            .map(|_| trace::publishing(&self.topology, jobs.len()))
            .collect();
        let published = self.publish_in(jobs, &spans).await;
        published.inspect_err(|error| trace::note_failure(&spans, error))
    }

    async fn publish_in(&self, jobs: &[i64], spans: &[Span]) -> Result<()> {
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
            // A message that came back is confirmed as well, and has come back by then.
            if confirm.await? != Confirmation::Ack(None) {
                return Err(Error::NotTaken);
            }
        }
        Ok(())
    }

    /// Ends the connection at once.
    pub(crate) fn cut(&self) {
        if let Some(open) = &self.open {
            open.socket.cut();
        }
    }

    /// Says goodbye to the broker, for which it gets a moment.
    pub(crate) async fn close(mut self) {
        if let Some(open) = self.open.take() {
            open.close().await;
        }
    }
}

impl Open {
    async fn close(self) {
        // What cannot be closed in good order is cut.
        let _ = timeout(GOODBYE, self.connection.close(REPLY_SUCCESS, "OK".into())).await;
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        if let (Some(open), Ok(runtime)) = (self.open.take(), Handle::try_current()) {
            runtime.spawn(open.close());
        }
    }
}
