//! Measurements of the database: latencies, failures and retries, and the spans of operations in
//! traces.
//!
//! They are global, because a process has one database.

use std::{
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tracing::{Instrument as _, Span, field::Empty};

use crate::error::{Error, Result};

/// The kind of a database operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// A single statement.
    Statement,
    /// A transaction of several statements.
    Transaction,
}

impl Operation {
    /// All kinds.
    pub const ALL: [Self; 2] = [Self::Statement, Self::Transaction];

    /// The label of the kind in metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Statement => "statement",
            Self::Transaction => "transaction",
        }
    }
}

/// The upper bounds of the latency buckets, in seconds; a last bucket has no bound.
pub const LATENCY_BOUNDS: [f64; 9] = [0.0005, 0.002, 0.005, 0.025, 0.1, 0.5, 1.0, 5.0, 10.0];

/// The labels of the kinds of failures in metrics.
pub const FAILURES: [&str; 6] = [
    "unavailable",
    "timed_out",
    "busy",
    "full",
    "commit_unknown",
    "other",
];

/// The measurements of one kind of operation since the start; a retried operation counts once.
#[derive(Debug, Clone, Copy, Default)]
pub struct OperationStats {
    /// The number of operations in each latency bucket, not cumulative.
    pub latencies: [u64; LATENCY_BOUNDS.len() + 1],
    /// The total time of all operations.
    pub total: Duration,
    /// The number of retries after a lost race.
    pub retries: u64,
    /// The number of failed operations, in the order of [`FAILURES`].
    pub failures: [u64; FAILURES.len()],
}

struct Counts {
    latencies: [AtomicU64; LATENCY_BOUNDS.len() + 1],
    microseconds: AtomicU64,
    retries: AtomicU64,
    failures: [AtomicU64; FAILURES.len()],
}

static COUNTS: [Counts; Operation::ALL.len()] = [const { Counts::new() }; Operation::ALL.len()];

/// The name of the database system in traces.
static SYSTEM: OnceLock<&'static str> = OnceLock::new();

/// The measurements of one kind of operation.
#[must_use]
pub fn counted(operation: Operation) -> OperationStats {
    let counts = &COUNTS[operation as usize];
    let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
    OperationStats {
        latencies: counts.latencies.each_ref().map(read),
        total: Duration::from_micros(read(&counts.microseconds)),
        retries: read(&counts.retries),
        failures: counts.failures.each_ref().map(read),
    }
}

/// Notes the database system, as the URL names it.
pub(crate) fn note_system(url: &str) {
    let system = match url.split(':').next() {
        Some("sqlite") => "sqlite",
        // A MariaDB server also has this scheme; which of the two it is is unknown before a
        // connection.
        Some("mysql") => "mysql",
        _ => "postgresql",
    };
    // Keeps the first value: a process has one database.
    let _ = SYSTEM.set(system);
}

/// Runs an operation, measures it, and records a span in the current trace, if there is one.
///
/// `closure` is the type name of a closure of the repository's method, which names the span.
pub(crate) async fn measured<T>(
    operation: Operation,
    closure: &'static str,
    work: impl Future<Output = Result<T>>,
) -> Result<T> {
    let span = span(operation, closure);
    let began = Instant::now();
    let done = work.instrument(span.clone()).await;
    COUNTS[operation as usize].note(began.elapsed());
    if let Some(failure) = done.as_ref().err().and_then(failure) {
        COUNTS[operation as usize].failures[failure].fetch_add(1, Ordering::Relaxed);
        span.record("error.type", FAILURES[failure]);
        span.record("otel.status_code", "ERROR");
    }
    done
}

/// Counts a retry, after `failed` attempts.
pub(crate) fn note_retry(operation: Operation, failed: u32) {
    COUNTS[operation as usize]
        .retries
        .fetch_add(1, Ordering::Relaxed);
    Span::current().record("fileserver.database.retries", i64::from(failed));
}

fn span(operation: Operation, closure: &'static str) -> Span {
    tracing::debug_span!(
        target: "trace",
        "database",
        otel.kind = "client",
        otel.name = %OperationName(closure),
        otel.status_code = Empty,
        db.system.name = SYSTEM.get(),
        db.operation.name = %OperationName(closure),
        error.type = Empty,
        fileserver.database.operation = operation.name(),
        fileserver.database.retries = Empty,
    )
}

/// The name of a closure's method: `jobs.claim` for
/// `persistence::jobs::Jobs<'_>::claim<'_, '_>::{{closure}}`.
struct OperationName(&'static str);

impl std::fmt::Display for OperationName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let method = self.0.split("::{{closure}}").next().unwrap_or_default();
        let mut parts = method.split("::").skip(1);
        let module = parts.next().unwrap_or("database");
        let method = parts.last().unwrap_or("operation");
        let method = method.split('<').next().unwrap_or_default();
        write!(f, "{module}.{method}")
    }
}

/// The kind of a failure; `None` for an error that is a regular answer to the caller.
fn failure(error: &Error) -> Option<usize> {
    let name = match error {
        Error::Unavailable(_) => "unavailable",
        Error::TimedOut => "timed_out",
        Error::Busy(_) => "busy",
        Error::Full(_) => "full",
        Error::CommitUnknown(_) => "commit_unknown",
        Error::QuotaFull(_) => return None,
        Error::CorruptRow { .. } | Error::Unusable(_) | Error::Other(_) => "other",
    };
    FAILURES.iter().position(|failure| *failure == name)
}

impl Counts {
    const fn new() -> Self {
        Self {
            latencies: [const { AtomicU64::new(0) }; LATENCY_BOUNDS.len() + 1],
            microseconds: AtomicU64::new(0),
            retries: AtomicU64::new(0),
            failures: [const { AtomicU64::new(0) }; FAILURES.len()],
        }
    }

    fn note(&self, took: Duration) {
        let class = LATENCY_BOUNDS
            .iter()
            .position(|bound| took.as_secs_f64() <= *bound);
        self.latencies[class.unwrap_or(LATENCY_BOUNDS.len())].fetch_add(1, Ordering::Relaxed);
        let microseconds = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.microseconds.fetch_add(microseconds, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Jobs<'a>(&'a str);

    impl Jobs<'_> {
        async fn claim(&self) -> (String, &str) {
            let run = || async { self.0 };
            (name_of(&run), run().await)
        }
    }

    fn name_of<W: Fn() -> F, F: Future>(_: &W) -> String {
        OperationName(std::any::type_name::<W>()).to_string()
    }

    #[tokio::test]
    async fn an_operation_has_the_name_of_its_method() {
        assert_eq!(Jobs("").claim().await.0, "meter.claim");
        let plain = "persistence::sessions::Sessions<'_>::find::{{closure}}::{{closure}}";
        assert_eq!(OperationName(plain).to_string(), "sessions.find");
        let with_lifetimes = "persistence::jobs::<impl a::B>::claim<'_, '_>::{{closure}}";
        assert_eq!(OperationName(with_lifetimes).to_string(), "jobs.claim");
        // Every type name results in some operation name, whatever the compiler calls the closure.
        for odd in ["", "x", "::", "a::b"] {
            assert!(OperationName(odd).to_string().contains('.'), "{odd}");
        }
    }
}
