//! The log on standard error.

use std::io::{self, IsTerminal as _};

use tracing_subscriber::{
    EnvFilter, Layer as _,
    filter::{FilterExt as _, filter_fn},
    layer::SubscriberExt as _,
    registry,
    util::SubscriberInitExt as _,
};

use crate::traces::{TARGET, TraceLayer};

/// The form of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// Text on a terminal, JSON elsewhere.
    Auto,
    /// Text for people.
    Text,
    /// One JSON object a line.
    Json,
}

/// The log could not be started.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The filter is malformed.
    #[error("the log filter is malformed: {0}")]
    Filter(#[from] tracing_subscriber::filter::ParseError),
    /// Another subscriber is installed.
    #[error("could not start the log: {0}")]
    Installed(#[from] tracing_subscriber::util::TryInitError),
}

/// Starts to log lines that pass the filter, such as `info` or `warn,fileserver=debug`, and to pass
/// spans to the layer of traces.
///
/// # Errors
///
/// If the filter is malformed, or the process logs already.
pub fn start(filter: &str, format: LogFormat, traces: Option<TraceLayer>) -> Result<(), LogError> {
    let filter = EnvFilter::try_new(filter)?;
    let filter = filter.and(filter_fn(|metadata| metadata.target() != TARGET));
    let lines = tracing_subscriber::fmt::layer().with_writer(io::stderr);
    let as_text = match format {
        LogFormat::Auto => io::stderr().is_terminal(),
        LogFormat::Text => true,
        LogFormat::Json => false,
    };
    let lines = if as_text {
        lines.boxed()
    } else {
        lines.json().flatten_event(true).boxed()
    };
    let subscriber = registry().with(traces).with(lines.with_filter(filter));
    Ok(subscriber.try_init()?)
}
