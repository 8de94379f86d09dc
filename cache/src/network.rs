//! The connection to the Redis server, with or without TLS.

use std::io;

use net::Transport;

use crate::options::Server;

/// Connects to a server.
pub(crate) async fn connect(server: &Server) -> io::Result<Box<dyn Transport>> {
    let stream = net::connect_tcp(&server.host, server.port).await?;
    if server.is_encrypted {
        return Ok(Box::new(net::connect_tls(stream, &server.host).await?));
    }
    Ok(Box::new(stream))
}
