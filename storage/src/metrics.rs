//! Latencies and errors of a store's operations, and their trace spans.

use std::time::Instant;

use prometheus_client::metrics::{counter::Counter, histogram::Histogram};
use tracing::{Instrument as _, Span, field::Empty};

use crate::error::{Error, Result};

/// An operation of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// Reading bytes, until the first of them arrive.
    Read,
    /// Writing bytes.
    Write,
    /// Asking for the size of an object.
    Stat,
    /// Removing an object.
    Delete,
    /// Listing objects.
    List,
}

impl Operation {
    /// All operations.
    pub const ALL: [Self; 5] = [
        Self::Read,
        Self::Write,
        Self::Stat,
        Self::Delete,
        Self::List,
    ];

    /// The operation's name in metrics and traces.
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

/// The upper bounds of the latency buckets in seconds. One more bucket has no bound.
const LATENCY_BOUNDS: [f64; 8] = [0.001, 0.005, 0.025, 0.1, 0.5, 1.0, 5.0, 15.0];

/// The metrics of one operation since the store was opened.
#[derive(Debug)]
pub struct OperationMetrics {
    /// The latencies in seconds, of failed calls too.
    pub duration: Histogram,
    /// The number of failed calls. A missing object is no failure.
    pub errors: Counter,
}

impl Default for OperationMetrics {
    fn default() -> Self {
        Self {
            duration: Histogram::new(LATENCY_BOUNDS),
            errors: Counter::default(),
        }
    }
}

/// The metrics of a store.
///
/// Each store owns its metrics, so a call needs no lookup by labels. The exporter adds the labels.
#[derive(Debug)]
pub(crate) struct Metrics {
    store: String,
    /// The kind of the spans: `client` if the store is another server.
    span_kind: &'static str,
    operations: [OperationMetrics; Operation::ALL.len()],
}

impl Metrics {
    pub(crate) fn of_disk(store: &str) -> Self {
        Self::new(store, "internal")
    }

    pub(crate) fn of_bucket(store: &str) -> Self {
        Self::new(store, "client")
    }

    fn new(store: &str, span_kind: &'static str) -> Self {
        Self {
            store: store.to_owned(),
            span_kind,
            operations: Default::default(),
        }
    }

    /// The metrics of an operation.
    pub(crate) fn of(&self, operation: Operation) -> &OperationMetrics {
        &self.operations[operation as usize]
    }

    /// Runs an operation, measures it, and records a span in the current trace, if there is one.
    pub(crate) async fn time<T>(
        &self,
        operation: Operation,
        work: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let span = self.span(operation);
        let began = Instant::now();
        let done = work.instrument(span.clone()).await;
        let metrics = self.of(operation);
        metrics.duration.observe(began.elapsed().as_secs_f64());
        let failure = match &done {
            Err(Error::Unavailable(_)) => "unavailable",
            Err(Error::Full(_)) => "full",
            Err(Error::Truncated(_)) => "ended",
            _ => return done,
        };
        metrics.errors.inc();
        span.record("error.type", failure);
        span.record("otel.status_code", "ERROR");
        done
    }

    fn span(&self, operation: Operation) -> Span {
        tracing::debug_span!(
            target: "trace",
            "store",
            otel.kind = self.span_kind,
            otel.name = %format_args!("{} {}", operation.name(), self.store),
            otel.status_code = Empty,
            fileserver.store.name = self.store,
            fileserver.store.operation = operation.name(),
            error.type = Empty,
        )
    }
}
