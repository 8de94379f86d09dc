//! Logs, metrics and traces.
//!
//! The other crates emit `tracing` spans and events; this crate sends them to standard error and to an
//! OpenTelemetry collector, and keeps the metrics that Prometheus reads.

pub mod logging;
pub mod metrics;
pub mod traces;

pub use metrics::{Component, Metrics};
