//! Stopping so that no request is lost that somebody just sent.
//!
//! First others are told to go elsewhere: `/readyz` says no, and each answer closes its connection,
//! while requests are still taken. Then nobody can connect any more, and what runs has some time to
//! be finished. Connections that lie idle are closed last: whoever kept one may be sending a request
//! on it, and closes it soon by themselves.

use std::{
    io,
    net::{Shutdown, SocketAddr, TcpListener},
    sync::Arc,
    time::Duration,
};

use actix_web::dev::ServerHandle;
use socket2::{Domain, SockFilter, SockRef, Socket, Type};
use tokio::{
    sync::watch,
    time::{Instant, sleep, timeout_at},
};

use crate::connections::Connections;

/// How many connections may wait to be taken.
const BACKLOG: i32 = 2048;

/// How long it takes at most until a connection that is about to come about has been taken.
const HANDSHAKE: Duration = Duration::from_millis(200);

/// How long it takes at most until the thread that takes connections hears that it is to stop.
const HEARD_WITHIN: Duration = Duration::from_millis(50);

/// How often to look whether everything has been answered.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// How far the service is with stopping.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Serving,
    /// Others are told to go elsewhere.
    Leaving,
    /// What can go on elsewhere is to do so.
    Ending,
}

/// How far the service is with stopping, for all who answer requests.
#[derive(Clone)]
pub(crate) struct Stopping(Arc<watch::Sender<Phase>>);

impl Stopping {
    pub(crate) fn new() -> Self {
        Self(Arc::new(watch::Sender::new(Phase::Serving)))
    }

    /// Whether requests are to go elsewhere.
    pub(crate) fn is_begun(&self) -> bool {
        *self.0.borrow() >= Phase::Leaving
    }

    /// Waits until uploads that can be resumed had better be: there is hardly any time left.
    pub(crate) async fn is_ending(&self) {
        let mut phase = self.0.subscribe();
        // The sender lives as long as this does.
        let _ = phase.wait_for(|phase| *phase == Phase::Ending).await;
    }
}

/// How long to bear what others are still at.
///
/// In the last third of the time for requests, uploads that can be resumed are told to go on
/// elsewhere.
#[derive(Clone, Copy)]
pub(crate) struct Patience {
    /// How long requests are still taken, and how long a connection lies idle before it is closed.
    pub(crate) drain: Duration,
    /// How long running requests have to be finished in after that.
    pub(crate) requests: Duration,
}

/// What is to be stopped.
pub(crate) struct Serving {
    pub(crate) handle: ServerHandle,
    pub(crate) door: Door,
    pub(crate) connections: Connections,
    pub(crate) stopping: Stopping,
}

impl Serving {
    /// Stops as described above.
    pub(crate) async fn stop(self, patience: Patience) {
        self.stopping.0.send_replace(Phase::Leaving);
        sleep(patience.drain).await;
        self.door.close(&self.handle).await;
        let began = Instant::now();
        let last = began + patience.requests;
        let is_answered = async {
            while !self.connections.are_idle_for(patience.drain) {
                sleep(LOOK_EVERY).await;
            }
        };
        let is_ending = async {
            sleep(patience.requests * 2 / 3).await;
            self.stopping.0.send_replace(Phase::Ending);
            std::future::pending::<()>().await;
        };
        let is_graceful = tokio::select! {
            answered = timeout_at(last, is_answered) => answered.is_ok(),
            () = is_ending => false,
        };
        if !is_graceful {
            tracing::warn!("requests were broken off");
        }
        self.handle.stop(is_graceful).await;
    }
}

/// Where connections come in.
pub(crate) struct Door(TcpListener);

impl Door {
    /// Opens one; the listener is for the server.
    ///
    /// # Errors
    ///
    /// When the address cannot be listened on.
    pub(crate) fn open(address: SocketAddr) -> io::Result<(Self, TcpListener)> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
        socket.set_reuse_address(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        let listener = TcpListener::from(socket);
        Ok((Self(listener.try_clone()?), listener))
    }

    /// Closes it, so that whoever comes is refused, and whoever is in is not.
    ///
    /// A connection that the system has taken, and the server has not, would be lost with all that
    /// was sent on it. So the door first takes no new ones, as if they had got lost: whoever
    /// knocks does so again a second later, and is refused then.
    async fn close(self, server: &ServerHandle) {
        let socket = SockRef::from(&self.0);
        match socket.attach_filter(&WITHOUT_KNOCKS) {
            Ok(()) => sleep(HANDSHAKE).await,
            Err(error) => tracing::debug!(%error, "connections that just come may be lost"),
        }
        server.pause().await;
        sleep(HEARD_WITHIN).await;
        if let Err(error) = socket.shutdown(Shutdown::Both) {
            tracing::warn!(%error, "the listener cannot be closed before its end");
        }
    }
}

/// A program of the system's packet filter that drops what opens a connection, a segment with
/// SYN and without ACK, and lets all else pass. It sees segments from TCP's header on.
const WITHOUT_KNOCKS: [SockFilter; 5] = {
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
