//! Copies to other stores, and their jobs.

use std::time::Duration;

use domain::ErrorChain;
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::{Registry, Unit},
};
use service::{FileService, Job, JobOutcome};

/// Timeout of counting the jobs in the database.
const COUNT_TIMEOUT: Duration = Duration::from_secs(2);

/// The broker operation of publishing jobs.
pub const PUBLISH: &str = "publish";
/// The broker operation of consuming jobs.
pub const CONSUME: &str = "consume";

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CopyLabels {
    from: String,
    to: String,
    result: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabels {
    from: String,
    to: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BrokerLabels {
    operation: &'static str,
}

/// The copies that this process made, and its messages through the broker.
#[derive(Clone, Default)]
pub struct CopyMetrics {
    copies: Family<CopyLabels, Counter>,
    bytes: Family<RouteLabels, Counter>,
    messages: Family<BrokerLabels, Counter>,
    broker_errors: Family<BrokerLabels, Counter>,
}

/// The jobs of all processes, as the database counts them.
#[derive(Default)]
pub(super) struct JobGauges {
    waiting: Gauge,
    dead: Gauge,
    oldest: Gauge,
}

impl CopyMetrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "copies",
            "Attempts to copy a file to another store, by outcome",
            self.copies.clone(),
        );
        registry.register_with_unit(
            "copied",
            "Bytes copied to another store",
            Unit::Bytes,
            self.bytes.clone(),
        );
        registry.register(
            "broker_messages",
            "Messages of jobs that were published to the broker or consumed from it",
            self.messages.clone(),
        );
        registry.register(
            "broker_errors",
            "Failed operations of the broker",
            self.broker_errors.clone(),
        );
        for operation in [PUBLISH, CONSUME] {
            // An operation that never happened is exported as 0.
            self.carried(operation, 0);
            let labels = BrokerLabels { operation };
            self.broker_errors.get_or_create(&labels).inc_by(0);
        }
    }

    /// Counts messages that were published or consumed.
    pub fn carried(&self, operation: &'static str, messages: usize) {
        let labels = BrokerLabels { operation };
        self.messages.get_or_create(&labels).inc_by(messages as u64);
    }

    /// Counts a failed operation of the broker.
    pub fn broker_failed(&self, operation: &'static str) {
        self.broker_errors
            .get_or_create(&BrokerLabels { operation })
            .inc();
    }

    /// Counts the outcome of a job.
    pub fn outcome(&self, job: &Job, outcome: &JobOutcome) {
        let (from, to) = (job.from.clone(), job.to.clone());
        if let JobOutcome::Copied(bytes) = outcome {
            let route = RouteLabels {
                from: from.clone(),
                to: to.clone(),
            };
            self.bytes.get_or_create(&route).inc_by(*bytes);
        }
        let result = outcome.name();
        let labels = CopyLabels { from, to, result };
        self.copies.get_or_create(&labels).inc();
    }
}

impl JobGauges {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "jobs_waiting",
            "Jobs whose copies are not made yet",
            self.waiting.clone(),
        );
        registry.register(
            "jobs_dead",
            "Jobs whose copies failed too often",
            self.dead.clone(),
        );
        registry.register_with_unit(
            "jobs_oldest",
            "Age of the oldest waiting job",
            Unit::Seconds,
            self.oldest.clone(),
        );
    }

    /// Counts the jobs in the database; if that fails, the gauges keep their values.
    pub(super) async fn refresh(&self, service: &FileService) {
        let status = match tokio::time::timeout(COUNT_TIMEOUT, service.count_jobs()).await {
            Ok(Ok(status)) => status,
            Ok(Err(error)) => {
                tracing::warn!(error = %ErrorChain(&error), "could not count the jobs");
                return;
            }
            Err(late) => {
                tracing::warn!(error = %late, "could not count the jobs");
                return;
            }
        };
        let number = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        self.waiting.set(number(status.waiting));
        self.dead.set(number(status.dead));
        let age = status.oldest.map_or(0, |oldest| {
            let now = service.now().microseconds();
            now.saturating_sub(oldest.microseconds()).max(0) / 1_000_000
        });
        self.oldest.set(age);
    }
}
