//! The queue of finished spans, and the task that sends them to the collector.
//!
//! No request waits for the collector: a span that does not fit into the queue is dropped, and so is
//! a batch that the collector refuses. Both are counted, and logged at most once a minute.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use opentelemetry::{Context, trace::SpanKind};
use opentelemetry_otlp::SpanExporter;
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    trace::{Span, SpanData, SpanExporter as _, SpanProcessor},
};
use reqwest::{Client, Url, redirect::Policy};
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
    time::{sleep, timeout},
};

/// Timeout of one batch, including the exporter's own retries.
pub(super) const EXPORT_TIMEOUT: Duration = Duration::from_secs(5);

/// Capacity of the queue, in spans of about one kilobyte.
const QUEUE_SIZE: usize = 4096;

/// Largest batch, in spans, and the longest time that its first span waits for more.
const BATCH_SIZE: usize = 512;
const BATCH_DELAY: Duration = Duration::from_secs(1);

/// Shortest time between two log lines about lost spans.
const LOSS_LOG_INTERVAL: Duration = Duration::from_mins(1);

/// Time limit for sending the remaining spans at shutdown.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(3);

/// Longest logged part of a collector's error, in characters.
const MAX_ERROR_CHARS: usize = 300;

/// Counts of spans by outcome.
#[derive(Default)]
pub struct SpanCounts {
    /// Accepted by the collector.
    pub sent: AtomicU64,
    /// Refused by the collector, or not delivered.
    pub failed: AtomicU64,
    /// Dropped because the queue was full.
    pub dropped: AtomicU64,
}

/// The background task that sends spans to the collector.
pub struct SpanExportTask {
    /// Counts of spans by outcome so far.
    pub counts: Arc<SpanCounts>,
    sending: JoinHandle<()>,
    stop: oneshot::Sender<()>,
}

/// Puts finished spans into the queue.
pub(super) struct QueueSpanProcessor {
    queue: mpsc::Sender<SpanData>,
    counts: Arc<SpanCounts>,
}

impl fmt::Debug for QueueSpanProcessor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("QueueSpanProcessor")
    }
}

impl SpanExportTask {
    pub(super) fn start(
        mut exporter: SpanExporter,
        resource: &Resource,
    ) -> (Self, QueueSpanProcessor) {
        exporter.set_resource(resource);
        let (queue, spans) = mpsc::channel(QUEUE_SIZE);
        let (stop, stopped) = oneshot::channel();
        let counts = Arc::<SpanCounts>::default();
        let sender = Sender {
            exporter,
            spans,
            counts: Arc::clone(&counts),
            logged_at: None,
            lost: 0,
        };
        let task = Self {
            counts: Arc::clone(&counts),
            sending: tokio::spawn(sender.run(stopped)),
            stop,
        };
        (task, QueueSpanProcessor { queue, counts })
    }

    /// Sends the remaining spans within a time limit, then ends the task.
    pub async fn stop(mut self) {
        let _ = self.stop.send(());
        if timeout(SHUTDOWN_TIMEOUT, &mut self.sending).await.is_err() {
            self.sending.abort();
            tracing::warn!("could not send the last traces before shutdown");
        }
    }
}

impl SpanProcessor for QueueSpanProcessor {
    fn on_start(&self, _: &mut Span, _: &Context) {}

    fn on_end(&self, mut span: SpanData) {
        if !span.span_context.is_sampled() {
            return;
        }
        // Requests' spans also serve the log, which would print an `otel.kind` field in every line.
        if span
            .attributes
            .iter()
            .any(|attribute| attribute.key.as_str() == "http.request.method")
        {
            span.span_kind = SpanKind::Server;
        }
        if self.queue.try_send(span).is_err() {
            self.counts.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}

struct Sender {
    exporter: SpanExporter,
    spans: mpsc::Receiver<SpanData>,
    counts: Arc<SpanCounts>,
    /// Time of the last log line about lost spans, and their number then.
    logged_at: Option<Instant>,
    lost: u64,
}

impl Sender {
    async fn run(mut self, mut stopped: oneshot::Receiver<()>) {
        let mut batch = Vec::with_capacity(BATCH_SIZE);
        loop {
            tokio::select! {
                taken = self.spans.recv_many(&mut batch, BATCH_SIZE) => if taken == 0 {
                    return;
                },
                // A dropped sender counts as a stop signal, too.
                _ = &mut stopped, if !self.spans.is_closed() => {
                    self.spans.close();
                    continue;
                }
            }
            let gathering = sleep(BATCH_DELAY);
            tokio::pin!(gathering);
            while batch.len() < BATCH_SIZE && !self.spans.is_closed() {
                let left = BATCH_SIZE - batch.len();
                tokio::select! {
                    _ = self.spans.recv_many(&mut batch, left) => {}
                    () = &mut gathering => break,
                    _ = &mut stopped => self.spans.close(),
                }
            }
            self.send(std::mem::replace(
                &mut batch,
                Vec::with_capacity(BATCH_SIZE),
            ))
            .await;
        }
    }

    async fn send(&mut self, batch: Vec<SpanData>) {
        let count = batch.len() as u64;
        let sent = timeout(2 * EXPORT_TIMEOUT, self.exporter.export(batch)).await;
        let failure = match sent {
            Ok(Ok(())) => {
                self.counts.sent.fetch_add(count, Ordering::Relaxed);
                None
            }
            Ok(Err(error)) => Some(error.to_string()),
            Err(late) => Some(late.to_string()),
        };
        if failure.is_some() {
            self.counts.failed.fetch_add(count, Ordering::Relaxed);
        }
        self.log_losses(failure);
    }

    /// Logs lost spans, at most once per interval.
    fn log_losses(&mut self, failure: Option<String>) {
        let failed = self.counts.failed.load(Ordering::Relaxed);
        let lost = failed + self.counts.dropped.load(Ordering::Relaxed);
        if lost == self.lost
            || self
                .logged_at
                .is_some_and(|at| at.elapsed() < LOSS_LOG_INTERVAL)
        {
            return;
        }
        let error: Option<String> =
            failure.map(|error| error.chars().take(MAX_ERROR_CHARS).collect());
        tracing::warn!(spans = lost - self.lost, error, "traces were lost");
        self.lost = lost;
        self.logged_at = Some(Instant::now());
    }
}

/// Builds the HTTP client for the collector.
pub(super) fn http_client(url: &Url) -> reqwest::Result<Client> {
    // An error means that a provider is installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut builder = Client::builder()
        .user_agent(concat!("fileserver/", env!("CARGO_PKG_VERSION")))
        .redirect(Policy::none())
        .timeout(EXPORT_TIMEOUT);
    if url.scheme() == "http" {
        // Plain HTTP needs no system certificates, and a local collector no proxy.
        builder = builder.tls_certs_only([]).no_proxy();
    }
    builder.build()
}
