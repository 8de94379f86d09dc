//! The trace span of a copy from store to store.

use service::{Job, JobId, JobOutcome};
use tracing::{Span, field::Empty};

/// Starts the span of a copy, within the trace of its message if there is one.
pub(crate) fn begin(job: JobId) -> Span {
    tracing::info_span!(
        target: "trace",
        "copy",
        otel.status_code = Empty,
        error.type = Empty,
        fileserver.job.id = job,
        fileserver.copy.from = Empty,
        fileserver.copy.to = Empty,
        fileserver.copy.result = Empty,
        fileserver.copy.bytes = Empty,
    )
}

/// Records the outcome.
pub(crate) fn end(span: &Span, outcome: &JobOutcome, job: Option<&Job>) {
    if let Some(job) = job {
        span.record("fileserver.copy.from", job.from.as_str());
        span.record("fileserver.copy.to", job.to.as_str());
    }
    span.record("fileserver.copy.result", outcome.name());
    match outcome {
        JobOutcome::Copied(bytes) => {
            let bytes = i64::try_from(*bytes).unwrap_or(i64::MAX);
            span.record("fileserver.copy.bytes", bytes);
        }
        JobOutcome::Failed(_) | JobOutcome::Dead(_) => {
            span.record("otel.status_code", "ERROR");
            span.record("error.type", outcome.name());
        }
        JobOutcome::Unnecessary | JobOutcome::AlreadyHeld => {}
    }
}
