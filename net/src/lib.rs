//! TCP connections to the broker and to Redis, and TLS on top of them.
//!
//! The server's certificate is verified against the authorities that the operating system trusts.
//! They are read for each connection, so a changed list takes effect without a restart.

use std::{io, sync::Arc};

use rustls::{ClientConfig, crypto::CryptoProvider, pki_types::ServerName};
use rustls_platform_verifier::BuilderVerifierExt as _;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

/// A connection as bytes in both directions, encrypted or not.
pub trait Transport: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Transport for T {}

/// The cryptography of all TLS connections.
#[must_use]
pub fn crypto_provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// Opens a TCP connection that sends small messages at once (`TCP_NODELAY`).
///
/// # Errors
///
/// When the host has no address, or none of its addresses accepts the connection.
pub async fn connect_tcp(host: &str, port: u16) -> io::Result<TcpStream> {
    let stream = TcpStream::connect((host, port)).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Performs the TLS handshake on a connection, and verifies that the certificate names `host`.
///
/// # Errors
///
/// When `host` is not a valid name, no authorities are found, or the handshake fails.
pub async fn connect_tls(stream: TcpStream, host: &str) -> io::Result<TlsStream<TcpStream>> {
    let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
    // The authorities are files on disk.
    let config = tokio::task::spawn_blocking(client_config).await?;
    let config = config.map_err(io::Error::other)?;
    TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await
}

fn client_config() -> Result<ClientConfig, rustls::Error> {
    Ok(ClientConfig::builder_with_provider(crypto_provider())
        .with_safe_default_protocol_versions()?
        .with_platform_verifier()?
        .with_no_client_auth())
}
