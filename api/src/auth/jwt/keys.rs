//! The keys that are known at the moment, and how newer ones become known.
//!
//! A set is replaced as a whole, and only by one that has usable keys. However many requests want
//! newer keys, one read is under way at most, and requests cause one in a while at most.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    sync::watch,
    time::{Instant, timeout},
};

use super::{
    KeySource, OpenError, Refusal,
    compact::Token,
    jwk::read_set,
    key::Key,
    source::{Failure, Source},
};
use domain::ErrorChain;

/// How often requests make the keys be read at most.
pub(super) const PAUSE: Duration = Duration::from_secs(10);

/// How long a request waits for keys that are being read.
const PATIENCE: Duration = Duration::from_secs(5);

/// How many keys are tried for a token that names none.
const MAX_TRIES: usize = 8;

/// The keys of one moment; none before some could be read.
#[derive(Debug, Default)]
pub(super) struct KeySet {
    generation: u64,
    keys: Vec<Key>,
    /// What they were read from.
    document: Vec<u8>,
}

impl KeySet {
    pub(super) fn generation(&self) -> u64 {
        self.generation
    }

    /// Finds a key that proves a token's signature.
    ///
    /// A `kid` means the keys with this name only (RFC 7515 §4.1.4); there may be several, of
    /// different kinds (RFC 7517 §4.5).
    pub(super) fn prove(&self, token: &Token<'_>) -> Result<(), Refusal> {
        if self.keys.is_empty() {
            return Err(Refusal::KeysUnavailable);
        }
        let named = |key: &&Key| token.kid.as_deref().is_none_or(|kid| key.is(kid));
        let mut refusal = match &token.kid {
            Some(_) if self.keys.iter().any(|key| named(&key)) => Refusal::Algorithm,
            _ => Refusal::UnknownKey,
        };
        let fitting = self
            .keys
            .iter()
            .filter(named)
            .filter(|key| key.fits(token.algorithm))
            .take(MAX_TRIES);
        for key in fitting {
            if key.verifies(token.algorithm, token.signed, &token.signature) {
                return Ok(());
            }
            refusal = Refusal::Signature;
        }
        Err(refusal)
    }
}

/// Keys that are kept up to date.
pub(super) struct Keys {
    shared: Arc<Shared>,
    /// How often requests make the keys be read at most.
    pause: Duration,
    latest: Mutex<Read>,
}

struct Shared {
    source: Source,
    current: watch::Sender<Arc<KeySet>>,
}

/// The read that was begun last.
struct Read {
    begun: Instant,
    /// Is closed when the read has ended, in whatever way.
    ended: watch::Receiver<()>,
}

impl Keys {
    pub(super) async fn open(source: &KeySource) -> Result<Self, OpenError> {
        Self::with_pause(source, PAUSE).await
    }

    pub(super) async fn with_pause(source: &KeySource, pause: Duration) -> Result<Self, OpenError> {
        let shared = Shared {
            source: Source::new(source)?,
            current: watch::Sender::default(),
        };
        let begun = Instant::now();
        match (shared.read().await, source) {
            (Err(source), KeySource::File(path)) => {
                let path = path.clone();
                return Err(OpenError::File { path, source });
            }
            (outcome, _) => shared.report(outcome),
        }
        let latest = Read {
            begun,
            ended: watch::channel(()).1,
        };
        Ok(Self {
            shared: Arc::new(shared),
            pause,
            latest: Mutex::new(latest),
        })
    }

    pub(super) fn current(&self) -> Arc<KeySet> {
        self.shared.current.borrow().clone()
    }

    /// Reads again unless that was done just now, for a request that depends on newer keys.
    pub(super) async fn catch_up(&self) {
        if let Some(mut ended) = self.begin(self.pause) {
            let _ = timeout(PATIENCE, ended.changed()).await;
        }
    }

    /// Reads again, or waits for the read that is under way.
    pub(super) async fn refresh(&self) {
        if let Some(mut ended) = self.begin(Duration::ZERO) {
            let _ = ended.changed().await;
        }
    }

    /// Joins the read that is under way, or else begins one if the last began a pause ago.
    fn begin(&self, pause: Duration) -> Option<watch::Receiver<()>> {
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        let under_way = latest.ended.has_changed().is_ok();
        if !under_way {
            if latest.begun.elapsed() < pause {
                return None;
            }
            let (ending, ended) = watch::channel(());
            *latest = Read {
                begun: Instant::now(),
                ended,
            };
            // A request that is broken off does not take the read along, so that nobody can keep
            // newer keys from becoming known.
            let shared = Arc::clone(&self.shared);
            tokio::spawn(async move {
                shared.report(shared.read().await);
                drop(ending);
            });
        }
        Some(latest.ended.clone())
    }
}

impl Shared {
    /// Reads the keys, and puts them in the place of those that were known.
    async fn read(&self) -> Result<(), Failure> {
        let document = self.source.read().await?;
        let known = self.current.borrow().clone();
        if !known.keys.is_empty() && known.document == document {
            return Ok(());
        }
        let keys = read_set(&document)?;
        let changed = keys != known.keys;
        let generation = known.generation + u64::from(changed);
        if changed {
            let source = &self.source;
            tracing::info!(%source, generation, keys = keys.len(), "the issuer's keys are new");
        }
        self.current.send_replace(Arc::new(KeySet {
            generation,
            keys,
            document,
        }));
        Ok(())
    }

    fn report(&self, outcome: Result<(), Failure>) {
        if let Err(error) = outcome {
            let (source, error) = (&self.source, ErrorChain(&error));
            tracing::warn!(%source, %error, "the issuer's keys could not be read; those that are known stay in use");
        }
    }
}
