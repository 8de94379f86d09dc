//! A connection from the moment at which it is accepted.

use std::{net::SocketAddr, rc::Rc, sync::Arc, time::Duration};

use actix_server::GracefulShutdownSignal;
use telemetry::Metrics;
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::TlsAcceptor;

use super::{
    answer::{Application, application},
    h1::{self, Http1, http1},
    h2::{self, Http2},
    refusal::Refusals,
    tls::H2,
    transport::Transport,
};
use crate::{app::Shared, shutdown::Connections};

/// What the connections of all threads share.
#[derive(Clone)]
pub(crate) struct ConnectionOptions {
    pub(crate) connections: Connections,
    /// What accepts TLS, if the service does.
    pub(crate) tls: Option<TlsAcceptor>,
    /// Time limit of a handshake, and of the header of the first request.
    pub(crate) header_timeout: Duration,
    /// The signal at which idle connections are closed.
    pub(crate) stopping: GracefulShutdownSignal,
    pub(crate) shared: Shared,
}

/// The connections of one thread.
pub(crate) struct Worker {
    options: ConnectionOptions,
    application: Application,
    http1: Http1,
    refusals: Refusals,
}

impl Worker {
    /// Builds what a thread needs.
    pub(crate) async fn start(options: ConnectionOptions) -> Result<Rc<Self>, ()> {
        let application = application(options.shared.clone()).await?;
        let (header_timeout, stopping) = (options.header_timeout, options.stopping.clone());
        let http1 = http1(Rc::clone(&application), header_timeout, stopping).await?;
        let metrics = Arc::clone(&options.shared.state.metrics);
        Ok(Rc::new(Self {
            options,
            application,
            http1,
            refusals: Refusals { metrics },
        }))
    }

    /// Serves a connection until its end.
    pub(crate) async fn serve(self: Rc<Self>, stream: TcpStream) {
        let Ok(connection) = self.options.connections.accept(&stream) else {
            return;
        };
        // Without it, a short response waits for the acknowledgement of what was sent before.
        let _ = stream.set_nodelay(true);
        let peer = stream.peer_addr().ok();
        let Some((transport, is_h2)) = self.secure(stream, peer).await else {
            return;
        };
        if is_h2 {
            let http2 = Http2 {
                application: Rc::clone(&self.application),
                connection,
                peer,
                is_tls: matches!(transport, Transport::Tls(_)),
            };
            let shutdown = &self.options.shared.state.shutdown;
            h2::serve(http2, transport, self.options.header_timeout, shutdown).await;
        } else {
            h1::serve(&self.http1, transport, connection, peer, &self.refusals).await;
        }
    }

    /// Performs the handshake of TLS, if the service has a certificate; the second value tells whether
    /// the client chose HTTP/2.
    async fn secure(
        &self,
        stream: TcpStream,
        peer: Option<SocketAddr>,
    ) -> Option<(Transport, bool)> {
        let Some(acceptor) = &self.options.tls else {
            return Some((Transport::Plain(stream), false));
        };
        let metrics: &Metrics = &self.options.shared.state.metrics;
        let client = peer.map(|peer| peer.ip().to_string());
        match timeout(self.options.header_timeout, acceptor.accept(stream)).await {
            Ok(Ok(stream)) => {
                let is_h2 = stream.get_ref().1.alpn_protocol() == Some(H2);
                return Some((Transport::Tls(Box::new(stream)), is_h2));
            }
            Ok(Err(error)) => tracing::debug!(client, %error, "TLS handshake failed"),
            Err(_) => tracing::debug!(client, "TLS handshake took too long"),
        }
        metrics.handshake_failed();
        None
    }
}
