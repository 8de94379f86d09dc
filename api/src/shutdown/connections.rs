//! Connections on which nothing is asked any more are closed.
//!
//! The HTTP library bounds how long the first header on a connection may take, and how long nothing
//! at all may come after an answer; a later header that comes byte by byte, or the rest of a
//! request's body that nobody reads, is bounded here.

use std::{
    any::Any,
    net::{Shutdown, TcpStream},
    os::fd::AsFd as _,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use actix_web::{dev::Extensions, rt::net};

/// How often to look.
const CLOSE_INTERVAL: Duration = Duration::from_secs(2);

/// The connections of this process.
#[derive(Clone)]
pub(crate) struct Connections {
    open: Arc<Mutex<Vec<Weak<Connection>>>>,
    began: Instant,
    /// How long nothing may be asked on one.
    idle: Duration,
}

/// How long it may take besides until a long answer has come to a slow client: of what was sent,
/// some megabytes may still lie in the system's buffers.
const DELIVERY_TIME: Duration = Duration::from_mins(10);

/// Answers that are shorter need no such time.
const LONG_RESPONSE: u64 = 64 * 1024;

/// A connection, as its requests see it.
pub(crate) struct Connection {
    socket: TcpStream,
    began: Instant,
    /// How many requests are being answered.
    in_flight: AtomicUsize,
    /// Until when one may follow, not counting the time that everybody has, in milliseconds since
    /// the start.
    last: AtomicU64,
    /// When an answer ended last, or the connection began, in the same.
    answered: AtomicU64,
}

/// A request that is being answered on a connection.
pub(crate) struct InFlightGuard {
    connection: Arc<Connection>,
    /// How many bytes its answer has had so far.
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

    /// Takes note of a new connection, which its requests find among its data.
    pub(crate) fn accept(&self, stream: &dyn Any, data: &mut Extensions) {
        let Some(stream) = stream.downcast_ref::<net::TcpStream>() else {
            return;
        };
        let Ok(socket) = stream.as_fd().try_clone_to_owned() else {
            // Without descriptors left there is nothing to be done for this one either.
            return;
        };
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
        data.insert(connection);
    }

    /// Whether nothing is being answered on any, nor was on those that are open for so long.
    pub(crate) fn are_idle_for(&self, time: Duration) -> bool {
        let now = milliseconds(self.began.elapsed());
        let time = milliseconds(time);
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.iter().filter_map(Weak::upgrade).all(|connection| {
            connection.in_flight.load(Ordering::Acquire) == 0
                && now.saturating_sub(connection.answered.load(Ordering::Acquire)) >= time
        })
    }

    /// Closes what is idle for too long, again and again.
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
                    // One that is closed already needs nothing.
                    let _ = connection.socket.shutdown(Shutdown::Both);
                }
                !is_idle
            });
        }
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
