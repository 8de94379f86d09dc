//! Spans on their way to a collector.
//!
//! Nobody waits for it: what does not fit into the queue is dropped, and so is what the collector
//! does not take. That is counted, and told once a minute.

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

/// How long the collector may take for one batch, with all that is tried again.
pub(super) const TIME: Duration = Duration::from_secs(5);

/// How many spans wait at most, of about a kilobyte each.
const QUEUE: usize = 4096;

/// How many spans are sent together, and how long the first of them waits for others.
const BATCH: usize = 512;
const GATHERING: Duration = Duration::from_secs(1);

/// How often it is told that spans were lost.
const TOLD_EVERY: Duration = Duration::from_mins(1);

/// How long what is left may take to be sent at the end.
const GOODBYE: Duration = Duration::from_secs(3);

/// How many characters of a collector's complaint are logged.
const SHOWN: usize = 300;

/// What became of spans.
#[derive(Default)]
pub(crate) struct Counts {
    /// The collector has them.
    pub(crate) sent: AtomicU64,
    /// The collector did not take them.
    pub(crate) failed: AtomicU64,
    /// There was no room in the queue.
    pub(crate) dropped: AtomicU64,
}

/// What sends spans to a collector.
pub(crate) struct Outbox {
    /// What became of the spans so far.
    pub(crate) counts: Arc<Counts>,
    sending: JoinHandle<()>,
    stop: oneshot::Sender<()>,
}

/// Takes spans that are over.
pub(super) struct Letters {
    queue: mpsc::Sender<SpanData>,
    counts: Arc<Counts>,
}

impl fmt::Debug for Letters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Letters")
    }
}

impl Outbox {
    pub(super) fn begin(mut exporter: SpanExporter, resource: &Resource) -> (Self, Letters) {
        exporter.set_resource(resource);
        let (queue, spans) = mpsc::channel(QUEUE);
        let (stop, stopped) = oneshot::channel();
        let counts = Arc::<Counts>::default();
        let sender = Sender {
            exporter,
            spans,
            counts: Arc::clone(&counts),
            told: None,
            lost: 0,
        };
        let outbox = Self {
            counts: Arc::clone(&counts),
            sending: tokio::spawn(sender.run(stopped)),
            stop,
        };
        (outbox, Letters { queue, counts })
    }

    /// Sends what is left, if that does not take too long.
    pub(crate) async fn end(mut self) {
        let _ = self.stop.send(());
        if timeout(GOODBYE, &mut self.sending).await.is_err() {
            self.sending.abort();
            tracing::warn!("the last traces were not delivered in time");
        }
    }
}

impl SpanProcessor for Letters {
    fn on_start(&self, _: &mut Span, _: &Context) {}

    fn on_end(&self, mut span: SpanData) {
        if !span.span_context.is_sampled() {
            return;
        }
        // The span of a request is the log's as well, which would show its kind in each line if it
        // were told there.
        if span
            .attributes
            .iter()
            .any(|told| told.key.as_str() == "http.request.method")
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
    counts: Arc<Counts>,
    /// When it was told last that spans were lost, and how many were by then.
    told: Option<Instant>,
    lost: u64,
}

impl Sender {
    async fn run(mut self, mut stopped: oneshot::Receiver<()>) {
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            tokio::select! {
                taken = self.spans.recv_many(&mut batch, BATCH) => if taken == 0 {
                    return;
                },
                // Whoever could say so being gone is as good as saying so.
                _ = &mut stopped, if !self.spans.is_closed() => {
                    self.spans.close();
                    continue;
                }
            }
            let gathering = sleep(GATHERING);
            tokio::pin!(gathering);
            while batch.len() < BATCH && !self.spans.is_closed() {
                let left = BATCH - batch.len();
                tokio::select! {
                    _ = self.spans.recv_many(&mut batch, left) => {}
                    () = &mut gathering => break,
                    _ = &mut stopped => self.spans.close(),
                }
            }
            self.send(std::mem::replace(&mut batch, Vec::with_capacity(BATCH)))
                .await;
        }
    }

    async fn send(&mut self, batch: Vec<SpanData>) {
        let count = batch.len() as u64;
        let sent = timeout(2 * TIME, self.exporter.export(batch)).await;
        let complaint = match sent {
            Ok(Ok(())) => {
                self.counts.sent.fetch_add(count, Ordering::Relaxed);
                None
            }
            Ok(Err(error)) => Some(error.to_string()),
            Err(late) => Some(late.to_string()),
        };
        if complaint.is_some() {
            self.counts.failed.fetch_add(count, Ordering::Relaxed);
        }
        self.tell(complaint);
    }

    /// Tells that spans were lost, if that was not told just now.
    fn tell(&mut self, complaint: Option<String>) {
        let failed = self.counts.failed.load(Ordering::Relaxed);
        let lost = failed + self.counts.dropped.load(Ordering::Relaxed);
        if lost == self.lost || self.told.is_some_and(|told| told.elapsed() < TOLD_EVERY) {
            return;
        }
        let error: Option<String> = complaint.map(|error| error.chars().take(SHOWN).collect());
        tracing::warn!(spans = lost - self.lost, error, "traces are lost");
        self.lost = lost;
        self.told = Some(Instant::now());
    }
}

/// The client for a collector.
pub(super) fn http(url: &Url) -> reqwest::Result<Client> {
    // It is an error if there is one already, which will do then.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut builder = Client::builder()
        .user_agent(concat!("fileserver/", env!("CARGO_PKG_VERSION")))
        .redirect(Policy::none())
        .timeout(TIME);
    if url.scheme() == "http" {
        // A machine without any certificates can still do without; and what is near is not asked of
        // a proxy.
        builder = builder.tls_certs_only([]).no_proxy();
    }
    builder.build()
}
