//! The bound on stale reads that the cache documents, and the counter that tells when it applies
//! (`docs/adr/0023-a-cache-that-may-be-lost.md`).
//!
//! Nothing here depends on how fast the machine is: all moments are compared with each other, and
//! none with a limit of the test's.

use std::{
    sync::Mutex,
    time::{Duration, Instant},
};

use harness::Client;
use tokio::time::sleep;

/// The age that the replicas are started with (`--cache-age`).
pub(crate) const CACHE_AGE: Duration = Duration::from_secs(10);

/// Pause between two reads of the counters.
const POLL_INTERVAL: Duration = Duration::from_millis(200);

/// The time within which each replica's counter can be read, restarts included.
const POLL_TIMEOUT: Duration = Duration::from_mins(1);

/// The time of a change that was acknowledged.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Change {
    /// When its first request was sent.
    pub(crate) began: Instant,
    pub(crate) acknowledged: Instant,
}

impl Change {
    /// A change that was requested at a moment, and is acknowledged now.
    pub(crate) fn since(began: Instant) -> Self {
        Self {
            began,
            acknowledged: Instant::now(),
        }
    }

    /// Returns whether a request that is sent at a moment may find, in the cache, what was read
    /// before the change: that ends with its age, and it was read before the acknowledgement.
    pub(crate) fn may_be_cached_as_before(self, sent: Instant) -> bool {
        sent <= self.acknowledged + CACHE_AGE
    }
}

/// The periods in which a replica may have lost a tombstone.
#[derive(Default)]
pub(crate) struct LostTombstones {
    replicas: Mutex<Vec<Counter>>,
    periods: Mutex<Vec<(Instant, Instant)>>,
}

/// The counter of a replica, as it was read last.
struct Counter {
    value: u64,
    /// When it had this value at the latest.
    at: Instant,
    /// The number of times that the replica was killed.
    kills: usize,
}

impl LostTombstones {
    /// Begins to follow some replicas, which have lost nothing yet.
    pub(crate) fn follow(&self, replicas: usize) {
        let new = || Counter {
            value: 0,
            at: Instant::now(),
            kills: 0,
        };
        self.replicas
            .lock()
            .unwrap()
            .extend((0..replicas).map(|_| new()));
    }

    /// Reads a replica's counter again and again, and does not end.
    pub(crate) async fn poll(&self, replica: usize, client: &Client) {
        loop {
            let kills = self.replicas.lock().unwrap()[replica].kills;
            let asked = Instant::now();
            if let Some(value) = read(client).await {
                self.note(replica, kills, asked, value);
            }
            sleep(POLL_INTERVAL).await;
        }
    }

    fn note(&self, replica: usize, kills: usize, asked: Instant, value: u64) {
        let mut replicas = self.replicas.lock().unwrap();
        let counter = &mut replicas[replica];
        // The answer of a process that was killed meanwhile says nothing about the next one.
        if counter.kills != kills {
            return;
        }
        if value != counter.value {
            let period = (counter.at, Instant::now());
            self.periods.lock().unwrap().push(period);
        }
        (counter.value, counter.at) = (value, asked);
    }

    /// Notes that a replica was killed: what it did since its counter was read may lack a tombstone.
    pub(crate) fn note_kill(&self, replica: usize) {
        let mut replicas = self.replicas.lock().unwrap();
        let counter = &mut replicas[replica];
        let now = Instant::now();
        self.periods.lock().unwrap().push((counter.at, now));
        *counter = Counter {
            value: 0,
            at: now,
            kills: counter.kills + 1,
        };
    }

    /// Returns whether the tombstone of a change may be among the lost ones, once all counters were
    /// read after it.
    pub(crate) async fn may_include(&self, change: Change) -> bool {
        let began = Instant::now();
        loop {
            let is_known = {
                let replicas = self.replicas.lock().unwrap();
                let mut replicas = replicas.iter();
                replicas.all(|counter| counter.at > change.acknowledged)
            };
            let may_be_lost = {
                let periods = self.periods.lock().unwrap();
                let mut periods = periods.iter();
                periods.any(|(from, to)| *from <= change.acknowledged && *to >= change.began)
            };
            if may_be_lost || is_known {
                return may_be_lost;
            }
            assert!(began.elapsed() < POLL_TIMEOUT, "a counter cannot be read");
            sleep(POLL_INTERVAL).await;
        }
    }

    /// The number of periods in which tombstones may have been lost, kills included.
    pub(crate) fn count(&self) -> usize {
        self.periods.lock().unwrap().len()
    }
}

/// The number of tombstones that a process could not place, if it answers.
async fn read(client: &Client) -> Option<u64> {
    let request = client.request(reqwest::Method::GET, "/metrics");
    let metrics = request.send().await.ok()?.error_for_status().ok()?;
    let metrics = metrics.text().await.ok()?;
    let name = "fileserver_cache_tombstones_lost_total ";
    let value = metrics.lines().find_map(|line| line.strip_prefix(name));
    Some(value.unwrap().parse().unwrap())
}
