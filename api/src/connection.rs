//! Connections: TLS, HTTP/1 and HTTP/2, below the application.
//!
//! actix-server accepts connections, and each runs here until its end. HTTP/1 is actix-http's; [`link`]
//! stands between it and the socket, for what it cannot do: interim responses, and refusals that look
//! like all others. HTTP/2 is h2's, which unlike actix-http's use of it has limits.

mod answer;
mod h1;
mod h2;
mod interim;
mod link;
mod old_request;
mod refusal;
mod serve;
mod tls;
mod transport;

use std::sync::Arc;

pub use self::tls::{CertificateError, TlsFiles};
pub(crate) use self::{
    interim::Interim,
    serve::{ConnectionOptions, Worker},
    tls::Certificates,
};
use crate::shutdown::Connection;

/// The connection of a request, which travels among the request's extensions.
#[derive(Clone)]
pub(crate) struct ConnectionContext {
    pub(crate) connection: Arc<Connection>,
    /// The responses before the final one.
    pub(crate) interim: Interim,
    /// Whether the connection is encrypted.
    pub(crate) is_tls: bool,
}

impl ConnectionContext {
    /// Waits until the client hangs up: it closes the connection, or in HTTP/2 gives up the request
    /// alone.
    pub(crate) async fn hung_up(&self) {
        tokio::select! {
            () = self.connection.hung_up() => {}
            () = self.interim.given_up() => {}
        }
    }
}
