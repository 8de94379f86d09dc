//! The connection below, with TLS or without.

use std::{io, sync::Arc};

use rustls::{ClientConfig, RootCertStore, pki_types::ServerName};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;

use crate::options::Place;

/// Bytes to Redis and back.
pub(crate) trait Transport: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Transport for T {}

/// Connects to a server.
pub(crate) async fn connect(place: &Place) -> io::Result<Box<dyn Transport>> {
    let host = place.host.as_str();
    let stream = TcpStream::connect((host, place.port)).await?;
    stream.set_nodelay(true)?;
    if place.is_encrypted {
        return Ok(Box::new(encrypt(stream, host).await?));
    }
    Ok(Box::new(stream))
}

/// Encrypts a connection to a host that has to prove its name to the system's authorities.
async fn encrypt(stream: TcpStream, host: &str) -> io::Result<impl Transport + use<>> {
    let found = tokio::task::spawn_blocking(rustls_native_certs::load_native_certs).await?;
    let mut authorities = RootCertStore::empty();
    authorities.add_parsable_certificates(found.certs);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(authorities)
        .with_no_client_auth();
    let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
    TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await
}
