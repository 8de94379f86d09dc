//! The backoff between connection attempts.

use std::time::Duration;

use domain::Backoff;
use parking_lot::Mutex;
use tokio::{
    sync::Notify,
    time::{Instant, sleep_until},
};

use crate::{Error, Result};

const BACKOFF: Backoff = Backoff {
    first: Duration::from_millis(200),
    longest: Duration::from_secs(5),
    tries: u32::MAX,
};

/// Limits the rate of connection attempts, for all users of a broker.
#[derive(Debug, Default)]
pub(crate) struct ReconnectBackoff {
    failure: Mutex<Option<Failure>>,
    connected: Notify,
}

#[derive(Debug, Clone)]
struct Failure {
    tries: u32,
    wait_until: Instant,
    last: Error,
}

impl ReconnectBackoff {
    /// Returns an error if the next connection attempt is not due yet.
    pub(crate) fn check(&self) -> Result<()> {
        match self.failure() {
            Some(failure) if Instant::now() < failure.wait_until => {
                Err(Error::BackingOff(Box::new(failure.last)))
            }
            _ => Ok(()),
        }
    }

    /// Waits until the next attempt is due, or another task has connected.
    pub(crate) async fn wait(&self) {
        // Created before the check, so that no connect after the check is missed.
        let connected = self.connected.notified();
        if let Some(failure) = self.failure() {
            tokio::select! {
                () = connected => {}
                () = sleep_until(failure.wait_until) => {}
            }
        }
    }

    /// Records the outcome of a connection attempt.
    pub(crate) fn record<T>(&self, outcome: Result<T>) -> Result<T> {
        let mut failure = self.failure.lock();
        match outcome {
            Ok(done) => {
                *failure = None;
                self.connected.notify_waiters();
                Ok(done)
            }
            Err(error) => {
                let tries = failure.as_ref().map_or(0, |failure| failure.tries) + 1;
                let random = getrandom::u32().unwrap_or(u32::MAX);
                let wait = BACKOFF.wait(tries, random).unwrap_or(BACKOFF.longest);
                tracing::debug!(tries, ?wait, %error, "could not connect to the broker, backing off");
                *failure = Some(Failure {
                    tries,
                    wait_until: Instant::now() + wait,
                    last: error.clone(),
                });
                Err(error)
            }
        }
    }

    fn failure(&self) -> Option<Failure> {
        let failure = self.failure.lock();
        failure.clone()
    }
}
