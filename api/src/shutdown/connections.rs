//! Closing idle connections.
//!
//! actix-web limits the time for the first header of a connection, and the time without any byte after
//! a response. This module also limits later headers that arrive byte by byte, and the rest of a request
//! body that the handler did not read.

use std::{
    io,
    net::{Shutdown, TcpStream},
    os::fd::AsFd as _,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use actix_web::rt::net;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// Pause between two looks for idle connections.
const CLOSE_INTERVAL: Duration = Duration::from_secs(2);

/// Pause between two looks whether a client has hung up.
const HANG_UP_INTERVAL: Duration = Duration::from_millis(250);

/// The open connections of this process.
#[derive(Clone)]
pub(crate) struct Connections {
    open: Arc<Mutex<Vec<Weak<Connection>>>>,
    began: Instant,
    /// Time after which an idle connection is closed.
    idle: Duration,
}

/// Extra time for a slow client to receive a long response, some megabytes of which may still be in
/// the system's buffers.
const DELIVERY_TIME: Duration = Duration::from_mins(10);

/// Size, in bytes, from which a response gets the extra time.
const LONG_RESPONSE: u64 = 64 * 1024;

/// A connection, as its requests see it.
pub(crate) struct Connection {
    socket: TcpStream,
    began: Instant,
    /// The number of requests that are being answered.
    in_flight: AtomicUsize,
    /// The end of the extra time, in milliseconds since the start.
    last: AtomicU64,
    /// The end of the last response, or the start of the connection, in milliseconds since the start.
    answered: AtomicU64,
}

/// Marks a connection as busy while a request is being answered.
pub(crate) struct InFlightGuard {
    connection: Arc<Connection>,
    /// The number of bytes of the response so far.
    sent: u64,
}

impl Connections {
    pub(crate) fn new(idle: Duration) -> Self {
        Self {
            open: Arc::default(),
            began: Instant::now(),
            idle,
        }
    }

    /// Registers a new connection. Without a free descriptor none can be tracked, and nothing would
    /// close it when its client sends nothing: then it must be closed at once.
    pub(crate) fn accept(&self, stream: &net::TcpStream) -> io::Result<Arc<Connection>> {
        let socket = stream.as_fd().try_clone_to_owned()?;
        let now = milliseconds(self.began.elapsed());
        let connection = Arc::new(Connection {
            socket: socket.into(),
            began: self.began,
            in_flight: AtomicUsize::new(0),
            last: AtomicU64::new(now),
            answered: AtomicU64::new(now),
        });
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.len() == open.capacity() {
            open.retain(|connection| connection.strong_count() > 0);
        }
        open.push(Arc::downgrade(&connection));
        Ok(connection)
    }

    /// Returns whether no request is being answered, and every open connection has been idle for a time.
    pub(crate) fn are_idle_for(&self, time: Duration) -> bool {
        let now = milliseconds(self.began.elapsed());
        let time = milliseconds(time);
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.iter().filter_map(Weak::upgrade).all(|connection| {
            connection.in_flight.load(Ordering::Acquire) == 0
                && now.saturating_sub(connection.answered.load(Ordering::Acquire)) >= time
        })
    }

    /// Closes idle connections until the process ends.
    pub(crate) async fn close_idle_loop(self) {
        loop {
            tokio::time::sleep(CLOSE_INTERVAL).await;
            let now = milliseconds(self.began.elapsed());
            let idle = milliseconds(self.idle);
            let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
            open.retain(|connection| {
                let Some(connection) = connection.upgrade() else {
                    return false;
                };
                let is_idle = connection.in_flight.load(Ordering::Acquire) == 0
                    && now.saturating_sub(connection.last.load(Ordering::Acquire)) > idle;
                if is_idle {
                    // An error means that the connection is closed already.
                    let _ = connection.socket.shutdown(Shutdown::Both);
                }
                !is_idle
            });
        }
    }
}

impl Connection {
    /// Waits until the client closes the connection, or its sending side: a client that waits for a
    /// response does neither.
    pub(crate) async fn hung_up(&self) {
        loop {
            tokio::time::sleep(HANG_UP_INTERVAL).await;
            if self.is_hung_up() {
                return;
            }
        }
    }

    fn is_hung_up(&self) -> bool {
        let mut socket = [PollFd::new(&self.socket, PollFlags::RDHUP)];
        poll(&mut socket, Some(&Timespec::default())).is_ok_and(|ready| ready > 0)
    }

    /// The time for which no request has been answered; none while one is.
    pub(crate) fn idle_time(&self) -> Option<Duration> {
        if self.in_flight.load(Ordering::Acquire) > 0 {
            return None;
        }
        let answered = Duration::from_millis(self.answered.load(Ordering::Acquire));
        Some(self.began.elapsed().saturating_sub(answered))
    }
}

impl InFlightGuard {
    pub(crate) fn new(connection: &Arc<Connection>) -> Self {
        connection.in_flight.fetch_add(1, Ordering::AcqRel);
        Self {
            connection: Arc::clone(connection),
            sent: 0,
        }
    }

    /// Counts bytes of the response.
    pub(crate) fn add_sent(&mut self, bytes: usize) {
        self.sent += bytes as u64;
    }
}

impl Drop for InFlightGuard {
    fn drop(&mut self) {
        let connection = &self.connection;
        let mut last = connection.began.elapsed();
        connection
            .answered
            .fetch_max(milliseconds(last), Ordering::AcqRel);
        if self.sent > LONG_RESPONSE {
            last += DELIVERY_TIME;
        }
        let last = milliseconds(last);
        connection.last.fetch_max(last, Ordering::AcqRel);
        connection.in_flight.fetch_sub(1, Ordering::AcqRel);
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
