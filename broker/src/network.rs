//! The TCP connection below AMQP, with TLS or without.
//!
//! The library's own connections cannot be told to give up: one to a broker that hangs would keep
//! a thread and a socket until the broker is back. So they are made here, and can be cut.

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

/// Tokio, but for the streams.
pub(crate) type Kit = RuntimeParts<Tokio, Network>;

/// Bytes to the broker and back.
type Stream = Compat<Box<dyn Transport>>;

/// Tokio's timers, and streams that may be encrypted.
#[derive(Clone, Debug)]
pub(crate) struct Network(Tokio);

/// The runtime that this is called in, for the library.
pub(crate) fn runtime() -> Runtime<Kit> {
    let tokio = Tokio::current();
    Runtime::new(RuntimeParts::new(tokio.clone(), Network(tokio)))
}

/// A connection that can be cut, and is when this is dropped.
#[derive(Debug, Default)]
pub(crate) struct Socket(Arc<Mutex<Fate>>);

/// The same connection, where it is made.
#[derive(Debug)]
pub(crate) struct Plug(Arc<Mutex<Fate>>);

#[derive(Debug, Default)]
enum Fate {
    #[default]
    Unconnected,
    Connected(Handle),
    Cut,
}

impl Socket {
    pub(crate) fn plug(&self) -> Plug {
        Plug(Arc::clone(&self.0))
    }

    /// Ends the connection at once, whatever state it is in.
    pub(crate) fn cut(&self) {
        let mut fate = self.0.lock();
        if let Fate::Connected(handle) = &*fate {
            // One that is not connected any more needs no cutting.
            let _ = handle.shutdown(Shutdown::Both);
        }
        *fate = Fate::Cut;
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.cut();
    }
}

impl Plug {
    /// Connects to where a URL points.
    pub(crate) async fn connect(
        &self,
        uri: &AMQPUri,
        limit: Duration,
    ) -> lapin::Result<AsyncTcpStream<Stream>> {
        let connected = tokio::time::timeout(limit, self.open(uri)).await;
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
        let mut fate = self.0.lock();
        if matches!(*fate, Fate::Cut) {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        *fate = Fate::Connected(handle);
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
