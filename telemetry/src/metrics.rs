//! Metrics for Prometheus.

mod copies;
mod database;
mod leases;
mod memory;
mod process;
mod redis;
mod scrub;
mod servers;
mod stores;
mod traces;

use std::{sync::Arc, time::Duration};

use prometheus_client::{
    encoding::{EncodeLabelSet, text},
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
        info::Info,
    },
    registry::{Registry, Unit},
};
use service::{EntryOutcome, FileService, Stored};

pub use self::copies::{CONSUME, CopyMetrics, PUBLISH};
use self::{
    copies::JobGauges, database::DatabaseCollector, leases::LeaseCollector,
    memory::MemoryCollector, process::ProcessCollector, redis::RedisCollector,
    scrub::ScrubCollector, servers::ServerCollector, stores::StoreCollector,
    traces::TraceCollector,
};
use crate::traces::SpanCounts;

/// The media type of the encoded metrics.
pub const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    operation: String,
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OperationLabels {
    operation: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ComponentLabels {
    component: &'static str,
}

/// The part of the service that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Component {
    /// The database.
    Database,
    /// The object store.
    Store,
    /// The service itself.
    Service,
}

impl Component {
    const ALL: [Self; 3] = [Self::Database, Self::Store, Self::Service];

    /// The value of the metric's label.
    fn label(self) -> &'static str {
        match self {
            Self::Database => "database",
            Self::Store => "store",
            Self::Service => "service",
        }
    }
}

/// The metrics of this process.
pub struct Metrics {
    registry: Registry,
    /// Metrics whose names do not begin with the program's.
    process: Registry,
    requests: Family<RequestLabels, Counter>,
    durations: Family<OperationLabels, Histogram>,
    in_flight: Gauge,
    received: Counter,
    sent: Counter,
    failures: Family<ComponentLabels, Counter>,
    handshake_failures: Counter,
    uploads: Counter,
    deduplicated: Counter,
    deduplicated_bytes: Counter,
    service: FileService,
    jobs: JobGauges,
    /// The metrics of copies.
    pub copies: CopyMetrics,
}

impl Metrics {
    /// Registers the metrics of this process.
    #[must_use]
    pub fn new(service: &FileService) -> Self {
        let metrics = Self {
            registry: Registry::with_prefix("fileserver"),
            process: Registry::default(),
            requests: Family::default(),
            // From 0.5 ms to 65 s.
            durations: Family::new_with_constructor(|| {
                Histogram::new(exponential_buckets(0.0005, 2.0, 18))
            }),
            in_flight: Gauge::default(),
            received: Counter::default(),
            sent: Counter::default(),
            failures: Family::default(),
            handshake_failures: Counter::default(),
            uploads: Counter::default(),
            deduplicated: Counter::default(),
            deduplicated_bytes: Counter::default(),
            service: service.clone(),
            jobs: JobGauges::default(),
            copies: CopyMetrics::default(),
        };
        metrics.registered()
    }

    fn registered(mut self) -> Self {
        let registry = &mut self.registry;
        registry.register(
            "requests",
            "Requests whose response has ended",
            self.requests.clone(),
        );
        registry.register_with_unit(
            "request_duration",
            "Time from the header of a request to the last byte of its response",
            Unit::Seconds,
            self.durations.clone(),
        );
        registry.register(
            "requests_in_flight",
            "Requests in progress",
            self.in_flight.clone(),
        );
        registry.register_with_unit(
            "received",
            "Bytes received in the bodies of uploads",
            Unit::Bytes,
            self.received.clone(),
        );
        registry.register_with_unit(
            "sent",
            "Bytes sent in the bodies of responses",
            Unit::Bytes,
            self.sent.clone(),
        );
        registry.register(
            "failures",
            "Requests that failed through a component",
            self.failures.clone(),
        );
        for component in Component::ALL.map(Component::label) {
            // A component that never failed is exported as 0.
            self.failures
                .get_or_create(&ComponentLabels { component })
                .inc_by(0);
        }
        registry.register(
            "tls_handshake_failures",
            "Connections whose TLS handshake failed or took too long",
            self.handshake_failures.clone(),
        );
        registry.register(
            "uploads",
            "Uploads that gave their owner the file",
            self.uploads.clone(),
        );
        registry.register(
            "deduplicated_uploads",
            "Uploads whose content was stored already",
            self.deduplicated.clone(),
        );
        registry.register_with_unit(
            "deduplicated",
            "Bytes that were not stored again",
            Unit::Bytes,
            self.deduplicated_bytes.clone(),
        );
        self.jobs.register(registry);
        self.copies.register(registry);
        registry.register_collector(Box::new(StoreCollector(self.service.clone())));
        registry.register_collector(Box::new(ServerCollector(self.service.clone())));
        registry.register_collector(Box::new(LeaseCollector(self.service.clone())));
        registry.register_collector(Box::new(RedisCollector(self.service.clone())));
        registry.register_collector(Box::new(ScrubCollector(self.service.clone())));
        registry.register_collector(Box::new(MemoryCollector(self.service.clone())));
        registry.register_collector(Box::new(DatabaseCollector));
        let version = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "The release of the program", version);
        let started = self.service.now();
        let process = Box::new(ProcessCollector { started });
        self.process.register_collector(process);
        self
    }

    /// Adds the metrics of the export of traces, if there is one.
    #[must_use]
    pub fn with_traces(mut self, counts: Option<&Arc<SpanCounts>>) -> Self {
        if let Some(counts) = counts {
            let collector = Box::new(TraceCollector(Arc::clone(counts)));
            self.registry.register_collector(collector);
        }
        self
    }

    /// Counts a request whose header has arrived.
    pub fn begin_request(&self) {
        self.in_flight.inc();
    }

    /// Counts a request whose response has ended, with the bytes of its body and its duration.
    pub fn end_request(&self, operation: &str, status: u16, sent: u64, took: Duration) {
        self.in_flight.dec();
        self.sent.inc_by(sent);
        let operation = operation.to_owned();
        self.durations
            .get_or_create(&OperationLabels {
                operation: operation.clone(),
            })
            .observe(took.as_secs_f64());
        self.requests
            .get_or_create(&RequestLabels { operation, status })
            .inc();
    }

    /// Counts bytes of uploads.
    pub fn received(&self, bytes: usize) {
        self.received.inc_by(bytes as u64);
    }

    /// Counts a request that failed through a component.
    pub fn failed(&self, component: Component) {
        let component = component.label();
        self.failures
            .get_or_create(&ComponentLabels { component })
            .inc();
    }

    /// Counts a connection whose TLS handshake failed or took too long.
    pub fn handshake_failed(&self) {
        self.handshake_failures.inc();
    }

    /// Counts an upload after which its owner has the file.
    pub fn stored(&self, stored: &Stored) {
        self.uploads.inc();
        if stored.deduplicated || stored.outcome == EntryOutcome::Existing {
            self.deduplicated.inc();
            self.deduplicated_bytes.inc_by(stored.entry.meta.file_size);
        }
    }

    /// Encodes all metrics in the text format of `OpenMetrics`.
    ///
    /// # Errors
    ///
    /// If a metric cannot be encoded: a defect.
    pub async fn encode(&self) -> Result<String, std::fmt::Error> {
        self.jobs.refresh(&self.service).await;
        let mut encoded = String::new();
        text::encode_registry(&mut encoded, &self.process)?;
        text::encode(&mut encoded, &self.registry)?;
        Ok(encoded)
    }
}
