//! A shutdown that loses no request.
//!
//! 1. Draining: `/readyz` answers 503 and every response closes its connection, while requests are
//!    still accepted, so that load balancers send new ones elsewhere.
//! 2. The listener is closed, and running requests have time to finish. In the last third of it,
//!    resumable uploads are asked to continue elsewhere.
//! 3. Idle connections are closed last, since a client may be sending a request on one.

mod connections;
mod listener;

use std::{sync::Arc, time::Duration};

use actix_web::dev::ServerHandle;
use tokio::{
    sync::watch,
    time::{Instant, sleep, timeout_at},
};

pub(crate) use self::{
    connections::{Connection, Connections, InFlightGuard},
    listener::Listener,
};

/// Pause between two looks whether all requests have been answered.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// The phase of a shutdown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Running,
    /// Load balancers are asked to send requests elsewhere.
    Draining,
    /// Resumable uploads are asked to continue elsewhere.
    Stopping,
}

/// The progress of a shutdown, shared by all threads that answer requests.
#[derive(Clone)]
pub(crate) struct ShutdownState(Arc<watch::Sender<Phase>>);

impl ShutdownState {
    pub(crate) fn new() -> Self {
        Self(Arc::new(watch::Sender::new(Phase::Running)))
    }

    /// Returns whether a shutdown has begun.
    pub(crate) fn is_draining(&self) -> bool {
        *self.0.borrow() >= Phase::Draining
    }

    /// Waits until a shutdown begins.
    pub(crate) async fn draining(&self) {
        let mut phase = self.0.subscribe();
        // The sender lives as long as `self`.
        let _ = phase.wait_for(|phase| *phase >= Phase::Draining).await;
    }

    /// Waits until resumable uploads should end, because little time is left.
    pub(crate) async fn stopping(&self) {
        let mut phase = self.0.subscribe();
        // The sender lives as long as `self`.
        let _ = phase.wait_for(|phase| *phase == Phase::Stopping).await;
    }
}

/// The time limits of a shutdown.
#[derive(Clone, Copy)]
pub struct ShutdownTimeouts {
    /// Time for which requests are still accepted, and for which a connection is idle before it is
    /// closed.
    pub drain: Duration,
    /// Time after that in which running requests must finish.
    pub requests: Duration,
}

/// Stops the server as the head of this module describes.
pub(crate) async fn drain(
    server: &ServerHandle,
    listener: Listener,
    connections: &Connections,
    state: &ShutdownState,
    timeouts: ShutdownTimeouts,
) {
    state.0.send_replace(Phase::Draining);
    sleep(timeouts.drain).await;
    listener.close(server).await;
    let deadline = Instant::now() + timeouts.requests;
    let answered = async {
        while !connections.are_idle_for(timeouts.drain) {
            sleep(POLL_INTERVAL).await;
        }
    };
    let stopping = async {
        sleep(timeouts.requests * 2 / 3).await;
        state.0.send_replace(Phase::Stopping);
        std::future::pending::<()>().await;
    };
    let is_graceful = tokio::select! {
        answered = timeout_at(deadline, answered) => answered.is_ok(),
        () = stopping => false,
    };
    if !is_graceful {
        tracing::warn!("shutdown timeout reached, aborting running requests");
    }
    server.stop(is_graceful).await;
}
