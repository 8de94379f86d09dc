//! How long a store takes, and how often it fails.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use tracing::{Instrument as _, Span, field::Empty};

use crate::error::{Error, Result};

/// What a store is asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// To give bytes, until the first of them have come.
    Read,
    /// To take bytes.
    Write,
    /// To say how many bytes an object has.
    Stat,
    /// To remove an object.
    Delete,
    /// To say which objects there are.
    List,
}

impl Operation {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Read,
        Self::Write,
        Self::Stat,
        Self::Delete,
        Self::List,
    ];

    /// What metrics call it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Stat => "stat",
            Self::Delete => "delete",
            Self::List => "list",
        }
    }
}

/// The upper bounds, in seconds, of the classes that latencies are counted in; a last one has the
/// rest.
pub const LATENCY_BOUNDS: [f64; 8] = [0.001, 0.005, 0.025, 0.1, 0.5, 1.0, 5.0, 15.0];

/// What was counted of one operation.
#[derive(Debug, Clone, Copy, Default)]
pub struct Reading {
    /// How many were made, by how long they took, each class by itself.
    pub latencies: [u64; LATENCY_BOUNDS.len() + 1],
    /// How long all took together.
    pub total: Duration,
    /// How many of them failed.
    pub errors: u64,
}

#[derive(Debug, Default)]
struct Counts {
    latencies: [AtomicU64; LATENCY_BOUNDS.len() + 1],
    microseconds: AtomicU64,
    errors: AtomicU64,
}

/// The counts of a store.
#[derive(Debug)]
pub(crate) struct Meter {
    store: String,
    /// What traces call what is between it and the service.
    kind: &'static str,
    counts: [Counts; Operation::ALL.len()],
}

impl Meter {
    pub(crate) fn of_disk(store: &str) -> Self {
        Self::new(store, "internal")
    }

    pub(crate) fn of_bucket(store: &str) -> Self {
        Self::new(store, "client")
    }

    fn new(store: &str, kind: &'static str) -> Self {
        Self {
            store: store.to_owned(),
            kind,
            counts: Default::default(),
        }
    }

    /// Does something, counts it, and gives it a span in the trace that it belongs to, if there is
    /// one.
    pub(crate) async fn time<T>(
        &self,
        operation: Operation,
        work: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let span = self.span(operation);
        let began = Instant::now();
        let done = work.instrument(span.clone()).await;
        let took = began.elapsed();
        let counts = &self.counts[operation as usize];
        let class = LATENCY_BOUNDS
            .iter()
            .position(|bound| took.as_secs_f64() <= *bound);
        counts.latencies[class.unwrap_or(LATENCY_BOUNDS.len())].fetch_add(1, Ordering::Relaxed);
        let microseconds = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        counts
            .microseconds
            .fetch_add(microseconds, Ordering::Relaxed);
        // What is not there is an answer, too.
        let failure = match &done {
            Err(Error::Unavailable(_)) => "unavailable",
            Err(Error::Full(_)) => "full",
            Err(Error::Truncated(_)) => "ended",
            _ => return done,
        };
        counts.errors.fetch_add(1, Ordering::Relaxed);
        span.record("error.type", failure);
        span.record("otel.status_code", "ERROR");
        done
    }

    fn span(&self, operation: Operation) -> Span {
        tracing::debug_span!(
            target: "trace",
            "store",
            otel.kind = self.kind,
            otel.name = %format_args!("{} {}", operation.name(), self.store),
            otel.status_code = Empty,
            fileserver.store.name = self.store,
            fileserver.store.operation = operation.name(),
            error.type = Empty,
        )
    }

    pub(crate) fn read(&self, operation: Operation) -> Reading {
        let counts = &self.counts[operation as usize];
        Reading {
            latencies: std::array::from_fn(|class| counts.latencies[class].load(Ordering::Relaxed)),
            total: Duration::from_micros(counts.microseconds.load(Ordering::Relaxed)),
            errors: counts.errors.load(Ordering::Relaxed),
        }
    }
}
