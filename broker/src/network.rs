//! The TCP connection below AMQP, with or without TLS.
//!
//! The library's own connections cannot be aborted: a connection to a broker that hangs would keep
//! a thread and a socket until the broker is back. This module opens the sockets instead, and can
//! shut them down.

use std::{
    io::{self, Read, Write},
    net::{Shutdown, SocketAddr, TcpStream as Handle},
    os::fd::{AsFd, AsRawFd},
    sync::Arc,
    time::Duration,
};

use async_rs::{Runtime, Tokio, traits::Reactor, util::RuntimeParts};
use futures_util::TryFutureExt as _;
use lapin::{
    tcp::AsyncTcpStream,
    uri::{AMQPScheme, AMQPUri},
};
use net::Transport;
use parking_lot::Mutex;
use tokio::net::TcpStream;
use tokio_util::compat::{Compat, TokioAsyncReadCompatExt as _};

/// The library's runtime: Tokio, except for the streams.
pub(crate) type RuntimeKit = RuntimeParts<Tokio, Network>;

/// A byte stream to the broker.
type Stream = Compat<Box<dyn Transport>>;

/// Tokio's timers, with streams that may use TLS.
#[derive(Clone, Debug)]
pub(crate) struct Network(Tokio);

/// Wraps the current Tokio runtime for the library.
pub(crate) fn runtime() -> Runtime<RuntimeKit> {
    let tokio = Tokio::current();
    Runtime::new(RuntimeParts::new(tokio.clone(), Network(tokio)))
}

/// The owner of a socket, which is shut down on drop.
#[derive(Debug, Default)]
pub(crate) struct Socket(Arc<Mutex<SocketState>>);

/// Opens the connection of a [`Socket`].
#[derive(Debug)]
pub(crate) struct Connector(Arc<Mutex<SocketState>>);

#[derive(Debug, Default)]
enum SocketState {
    #[default]
    Unconnected,
    Connected(Handle),
    ShutDown,
}

impl Socket {
    pub(crate) fn connector(&self) -> Connector {
        Connector(Arc::clone(&self.0))
    }

    /// Shuts the socket down at once. A connection that is still being opened fails.
    pub(crate) fn shut_down(&self) {
        let mut state = self.0.lock();
        if let SocketState::Connected(handle) = &*state {
            // Fails if the socket is no longer connected.
            let _ = handle.shutdown(Shutdown::Both);
        }
        *state = SocketState::ShutDown;
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.shut_down();
    }
}

impl Connector {
    /// Connects to the host and port of a URL.
    pub(crate) async fn connect(
        &self,
        uri: &AMQPUri,
        time_limit: Duration,
    ) -> lapin::Result<AsyncTcpStream<Stream>> {
        let connected = tokio::time::timeout(time_limit, self.open(uri)).await;
        let stream = connected.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))?;
        Ok(AsyncTcpStream::Plain(stream))
    }

    async fn open(&self, uri: &AMQPUri) -> io::Result<Stream> {
        let host = uri.authority.host.as_str();
        let stream = net::connect_tcp(host, uri.authority.port).await?;
        self.attach(stream.as_fd().try_clone_to_owned()?.into())?;
        Ok(match uri.scheme {
            AMQPScheme::AMQP => boxed(stream),
            AMQPScheme::AMQPS => boxed(net::connect_tls(stream, host).await?),
        })
    }

    fn attach(&self, handle: Handle) -> io::Result<()> {
        let mut state = self.0.lock();
        if matches!(*state, SocketState::ShutDown) {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        *state = SocketState::Connected(handle);
        Ok(())
    }
}

fn boxed(stream: impl Transport + 'static) -> Stream {
    let boxed: Box<dyn Transport> = Box::new(stream);
    boxed.compat()
}

impl Reactor for Network {
    type TcpStream = Stream;
    type Sleep = tokio::time::Sleep;

    fn register<H: Read + Write + AsFd + AsRawFd + Send + 'static>(
        &self,
        socket: H,
    ) -> io::Result<impl futures_io::AsyncRead + futures_io::AsyncWrite + Send + Unpin + 'static>
    {
        self.0.register(socket)
    }

    fn sleep(&self, duration: Duration) -> Self::Sleep {
        self.0.sleep(duration)
    }

    fn interval(
        &self,
        duration: Duration,
    ) -> impl futures_util::Stream<Item = std::time::Instant> + Send + 'static {
        self.0.interval(duration)
    }

    fn tcp_connect_addr(
        &self,
        address: SocketAddr,
    ) -> impl Future<Output = io::Result<Stream>> + Send + 'static {
        TcpStream::connect(address).map_ok(boxed)
    }
}
