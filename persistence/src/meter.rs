//! How long the database takes, how often it fails, and which operation it is at.
//!
//! A process has one database, so there is one count of it.

use std::{
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tracing::{Instrument as _, Span, field::Empty};

use crate::error::{Error, Result};

/// What the database is asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// A statement by itself.
    Statement,
    /// A transaction of several.
    Transaction,
}

impl Operation {
    /// Both of them.
    pub const ALL: [Self; 2] = [Self::Statement, Self::Transaction];

    /// What metrics call it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Statement => "statement",
            Self::Transaction => "transaction",
        }
    }
}

/// The upper bounds, in seconds, of the classes that latencies are counted in; a last one has the
/// rest.
pub const LATENCY_BOUNDS: [f64; 9] = [0.0005, 0.002, 0.005, 0.025, 0.1, 0.5, 1.0, 5.0, 10.0];

/// What metrics call the kinds of failures.
pub const FAILURES: [&str; 6] = [
    "unavailable",
    "timed_out",
    "busy",
    "full",
    "commit_unknown",
    "other",
];

/// What was counted of one kind of operation since the start, its repetitions included.
#[derive(Debug, Clone, Copy, Default)]
pub struct Reading {
    /// How many were made, by how long they took, each class by itself.
    pub latencies: [u64; LATENCY_BOUNDS.len() + 1],
    /// How long all took together.
    pub total: Duration,
    /// How often they were begun anew after a lost race.
    pub retries: u64,
    /// How many of them failed, in the order of [`FAILURES`].
    pub failures: [u64; FAILURES.len()],
}

struct Counts {
    latencies: [AtomicU64; LATENCY_BOUNDS.len() + 1],
    microseconds: AtomicU64,
    retries: AtomicU64,
    failures: [AtomicU64; FAILURES.len()],
}

static COUNTS: [Counts; Operation::ALL.len()] = [const { Counts::new() }; Operation::ALL.len()];

/// What traces call the database.
static SYSTEM: OnceLock<&'static str> = OnceLock::new();

/// What was counted of an operation.
#[must_use]
pub fn counted(operation: Operation) -> Reading {
    let counts = &COUNTS[operation as usize];
    let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
    Reading {
        latencies: counts.latencies.each_ref().map(read),
        total: Duration::from_micros(read(&counts.microseconds)),
        retries: read(&counts.retries),
        failures: counts.failures.each_ref().map(read),
    }
}

/// Notes which database it is, by its URL.
pub(crate) fn note_system(url: &str) {
    let system = match url.split(':').next() {
        Some("sqlite") => "sqlite",
        // MariaDB calls itself so, too, before it is connected to.
        Some("mysql") => "mysql",
        _ => "postgresql",
    };
    // The first one stays; a process has no other.
    let _ = SYSTEM.set(system);
}

/// Does something, counts it, and gives it a span in the trace that it belongs to, if there is one.
///
/// It is called by the method that has it, in whose closure's type that stands.
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

/// Counts that an operation is begun anew, for the `failed`th time.
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
        otel.name = %Called(closure),
        otel.status_code = Empty,
        db.system.name = SYSTEM.get(),
        db.operation.name = %Called(closure),
        error.type = Empty,
        fileserver.database.operation = operation.name(),
        fileserver.database.retries = Empty,
    )
}

/// What a closure's method is called: `jobs.claim`, of `persistence::jobs::Jobs<'_>::hold::{{closure}}`.
struct Called(&'static str);

impl std::fmt::Display for Called {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let method = self.0.split("::{{closure}}").next().unwrap_or_default();
        let mut parts = method.split("::").skip(1);
        let module = parts.next().unwrap_or("database");
        write!(f, "{module}.{}", parts.last().unwrap_or("operation"))
    }
}

/// Which kind of failure it is; what is an answer to whoever asked is none.
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
        async fn hold(&self) -> (String, &str) {
            let made = || async { self.0 };
            (called(&made), made().await)
        }
    }

    fn called<W: Fn() -> F, F: Future>(_: &W) -> String {
        Called(std::any::type_name::<W>()).to_string()
    }

    #[tokio::test]
    async fn an_operation_is_called_by_its_method() {
        assert_eq!(Jobs("").hold().await.0, "meter.hold");
        let plain = "persistence::sessions::Sessions<'_>::find::{{closure}}::{{closure}}";
        assert_eq!(Called(plain).to_string(), "sessions.find");
        // Whatever a compiler calls it, there is a name.
        for odd in ["", "x", "::", "a::b"] {
            assert!(Called(odd).to_string().contains('.'), "{odd}");
        }
    }
}
