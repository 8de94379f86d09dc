//! The connection to the Redis server, with or without TLS.

use std::io;

use net::Transport;

use crate::options::Place;

/// Connects to a server.
pub(crate) async fn connect(place: &Place) -> io::Result<Box<dyn Transport>> {
    let stream = net::connect_tcp(&place.host, place.port).await?;
    if place.is_encrypted {
        return Ok(Box::new(net::connect_tls(stream, &place.host).await?));
    }
    Ok(Box::new(stream))
}
