//! The issuer's current keys, and their refresh.
//!
//! A set is replaced as a whole, and only by one that has usable keys. At most one refresh is in
//! progress, and requests start one at most every [`MIN_REFRESH_INTERVAL`].

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    sync::watch,
    time::{Instant, timeout},
};

use super::{
    error::{OpenError, ReadError},
    jwk::parse_set,
    key_set::KeySet,
    settings::KeySource,
    source::Source,
};
use domain::ErrorChain;

/// Minimum time between two refreshes that requests start.
const MIN_REFRESH_INTERVAL: Duration = Duration::from_secs(10);

/// Limit on the time that a request waits for a refresh.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// The issuer's keys, which can be refreshed.
pub(super) struct Keys {
    shared: Arc<Shared>,
    /// Minimum time between two refreshes that requests start.
    min_interval: Duration,
    latest: Mutex<Refresh>,
}

struct Shared {
    source: Source,
    current: watch::Sender<Arc<KeySet>>,
}

/// The refresh that was started last.
struct Refresh {
    started: Instant,
    /// Closed when the refresh has ended, with or without success.
    ended: watch::Receiver<()>,
}

impl Keys {
    pub(super) async fn open(source: &KeySource) -> Result<Self, OpenError> {
        Self::with_min_interval(source, MIN_REFRESH_INTERVAL).await
    }

    pub(super) async fn with_min_interval(
        source: &KeySource,
        min_interval: Duration,
    ) -> Result<Self, OpenError> {
        let shared = Shared {
            source: Source::new(source)?,
            current: watch::Sender::default(),
        };
        let started = Instant::now();
        match (shared.refresh().await, source) {
            (Err(source), KeySource::File(path)) => {
                let path = path.clone();
                return Err(OpenError::File { path, source });
            }
            (outcome, _) => shared.log_failure(outcome),
        }
        let latest = Refresh {
            started,
            ended: watch::channel(()).1,
        };
        Ok(Self {
            shared: Arc::new(shared),
            min_interval,
            latest: Mutex::new(latest),
        })
    }

    pub(super) fn current(&self) -> Arc<KeySet> {
        self.shared.current.borrow().clone()
    }

    /// Refreshes the keys for a request that needs newer ones, unless the last refresh was started
    /// less than the minimum interval ago.
    pub(super) async fn refresh_if_due(&self) {
        if let Some(mut ended) = self.start(self.min_interval) {
            let _ = timeout(REQUEST_TIMEOUT, ended.changed()).await;
        }
    }

    /// Refreshes the keys, or waits for the refresh in progress.
    pub(super) async fn refresh(&self) {
        if let Some(mut ended) = self.start(Duration::ZERO) {
            let _ = ended.changed().await;
        }
    }

    /// Joins the refresh in progress, or starts one if the last was started an interval ago.
    fn start(&self, min_interval: Duration) -> Option<watch::Receiver<()>> {
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        let in_progress = latest.ended.has_changed().is_ok();
        if !in_progress {
            if latest.started.elapsed() < min_interval {
                return None;
            }
            let (ending, ended) = watch::channel(());
            *latest = Refresh {
                started: Instant::now(),
                ended,
            };
            // A task of its own: a client that disconnects cannot cancel the refresh, and so
            // cannot keep newer keys away.
            let shared = Arc::clone(&self.shared);
            tokio::spawn(async move {
                shared.log_failure(shared.refresh().await);
                drop(ending);
            });
        }
        Some(latest.ended.clone())
    }
}

impl Shared {
    /// Reads the keys and replaces the current set.
    async fn refresh(&self) -> Result<(), ReadError> {
        let document = self.source.read().await?;
        let known = self.current.borrow().clone();
        if !known.keys.is_empty() && known.document == document {
            return Ok(());
        }
        let keys = parse_set(&document)?;
        let changed = keys != known.keys;
        let generation = known.generation + u64::from(changed);
        if changed {
            let source = &self.source;
            tracing::info!(%source, generation, keys = keys.len(), "loaded new issuer keys");
        }
        self.current.send_replace(Arc::new(KeySet {
            generation,
            keys,
            document,
        }));
        Ok(())
    }

    fn log_failure(&self, outcome: Result<(), ReadError>) {
        if let Err(error) = outcome {
            let (source, error) = (&self.source, ErrorChain(&error));
            tracing::warn!(%source, %error, "could not read the issuer's keys, keeping the current ones");
        }
    }
}
