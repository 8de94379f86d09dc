//! When to connect again.

use std::time::Duration;

use domain::Backoff;
use parking_lot::Mutex;
use tokio::{
    sync::Notify,
    time::{Instant, sleep_until},
};

use crate::{Error, Result};

const RECONNECTING: Backoff = Backoff {
    first: Duration::from_millis(200),
    longest: Duration::from_secs(5),
    tries: u32::MAX,
};

/// Keeps those who want to connect from trying too often.
#[derive(Debug, Default)]
pub(crate) struct Schedule {
    failure: Mutex<Option<Failure>>,
    connected: Notify,
}

#[derive(Debug, Clone)]
struct Failure {
    tries: u32,
    wait_until: Instant,
    last: Error,
}

impl Schedule {
    /// Fails if it is too early to connect.
    pub(crate) fn check(&self) -> Result<()> {
        match self.failure() {
            Some(failure) if Instant::now() < failure.wait_until => {
                Err(Error::Waiting(Box::new(failure.last)))
            }
            _ => Ok(()),
        }
    }

    /// Waits until it is not too early to connect any more, or somebody else did.
    pub(crate) async fn wait(&self) {
        // Made before looking: it hears of all who connect from here on.
        let connected = self.connected.notified();
        if let Some(failure) = self.failure() {
            tokio::select! {
                () = connected => {}
                () = sleep_until(failure.wait_until) => {}
            }
        }
    }

    /// Takes note of how connecting went.
    pub(crate) fn note<T>(&self, outcome: Result<T>) -> Result<T> {
        let mut noted = self.failure.lock();
        match outcome {
            Ok(done) => {
                *noted = None;
                self.connected.notify_waiters();
                Ok(done)
            }
            Err(error) => {
                let tries = noted.as_ref().map_or(0, |failure| failure.tries) + 1;
                let chance = getrandom::u32().unwrap_or(u32::MAX);
                let wait = RECONNECTING
                    .wait(tries, chance)
                    .unwrap_or(RECONNECTING.longest);
                tracing::debug!(tries, ?wait, %error, "the broker cannot be reached");
                *noted = Some(Failure {
                    tries,
                    wait_until: Instant::now() + wait,
                    last: error.clone(),
                });
                Err(error)
            }
        }
    }

    fn failure(&self) -> Option<Failure> {
        let noted = self.failure.lock();
        noted.clone()
    }
}
