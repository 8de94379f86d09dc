//! The listening socket.

use std::{
    io,
    net::{Shutdown, SocketAddr, TcpListener},
    time::Duration,
};

use actix_web::dev::ServerHandle;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use socket2::{Domain, SockFilter, SockRef, Socket, Type};
use tokio::time::{sleep, timeout};

/// Length of the queue of connections to accept.
const BACKLOG: i32 = 2048;

/// Time in which a connection whose handshake has begun reaches the queue.
const HANDSHAKE: Duration = Duration::from_millis(200);

/// Time limit for the accepting thread to take all connections out of the queue.
const QUEUE_TIMEOUT: Duration = Duration::from_secs(5);

/// Pause between two looks at the queue.
const QUEUE_INTERVAL: Duration = Duration::from_millis(5);

/// Time in which the accepting thread reacts to the pause.
const PAUSE_DELAY: Duration = Duration::from_millis(50);

/// The socket that accepts connections.
pub(crate) struct Listener(TcpListener);

impl Listener {
    /// Binds an address; the second value is the socket for the server.
    ///
    /// # Errors
    ///
    /// If the address cannot be listened on.
    pub(crate) fn bind(address: SocketAddr) -> io::Result<(Self, TcpListener)> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
        socket.set_reuse_address(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        let listener = TcpListener::from(socket);
        Ok((Self(listener.try_clone()?), listener))
    }

    /// Stops listening without losing a connection.
    ///
    /// A connection that the system has accepted, but the server has not, would be lost with all that
    /// was sent on it. So a packet filter first drops new connection attempts, as the network might:
    /// a client repeats its SYN after a second, and is refused then. What is in the queue by then is
    /// accepted, however long a busy machine takes for that.
    pub(super) async fn close(self, server: &ServerHandle) {
        let socket = SockRef::from(&self.0);
        match socket.attach_filter(&DROP_SYN_FILTER) {
            Ok(()) => sleep(HANDSHAKE).await,
            Err(error) => tracing::debug!(%error, "connections that are being made may be lost"),
        }
        if timeout(QUEUE_TIMEOUT, self.queue_is_empty()).await.is_err() {
            tracing::warn!("connections wait to be accepted, and are lost");
        }
        server.pause().await;
        sleep(PAUSE_DELAY).await;
        if let Err(error) = socket.shutdown(Shutdown::Both) {
            tracing::warn!(%error, "could not close the listener early");
        }
    }

    /// Waits until no connection waits to be accepted.
    async fn queue_is_empty(&self) {
        // A listening socket is readable as long as its queue has a connection.
        let is_readable = || poll(&mut [PollFd::new(&self.0, PollFlags::IN)], Some(&NOW));
        while is_readable().is_ok_and(|ready| ready > 0) {
            sleep(QUEUE_INTERVAL).await;
        }
    }
}

/// No wait: the state of the moment.
const NOW: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 0,
};

/// A program for the kernel's packet filter that drops segments with SYN and without ACK, and passes all
/// others. Its input begins with the TCP header.
const DROP_SYN_FILTER: [SockFilter; 5] = {
    const LOAD_BYTE: u16 = 0x30;
    const AND: u16 = 0x54;
    const JUMP_IF_EQUAL: u16 = 0x15;
    const RETURN: u16 = 0x06;
    const FLAGS: u32 = 13;
    const SYN: u32 = 0x02;
    const ACK: u32 = 0x10;
    [
        SockFilter::new(LOAD_BYTE, 0, 0, FLAGS),
        SockFilter::new(AND, 0, 0, SYN | ACK),
        SockFilter::new(JUMP_IF_EQUAL, 0, 1, SYN),
        SockFilter::new(RETURN, 0, 0, 0),
        SockFilter::new(RETURN, 0, 0, u32::MAX),
    ]
};
