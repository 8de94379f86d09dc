//! Copies to other stores, and the jobs that ask for them.

use std::time::Duration;

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::{Registry, Unit},
};
use service::{FileService, Job, JobOutcome};

use domain::ErrorChain;

/// How long the database may take to tell how the jobs stand.
const PATIENCE: Duration = Duration::from_secs(2);

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
struct WayLabels {
    from: String,
    to: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BrokerLabels {
    operation: &'static str,
}

/// What became of the copies that this process made.
#[derive(Clone, Default)]
pub struct CopyMetrics {
    copies: Family<CopyLabels, Counter>,
    bytes: Family<WayLabels, Counter>,
    messages: Family<BrokerLabels, Counter>,
    broker_errors: Family<BrokerLabels, Counter>,
}

/// How the jobs of all processes stand.
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
            "Copies to another store that were tried, by what came of them",
            self.copies.clone(),
        );
        registry.register_with_unit(
            "copied",
            "Bytes that were copied to another store",
            Unit::Bytes,
            self.bytes.clone(),
        );
        registry.register(
            "broker_messages",
            "Announcements of jobs that the broker took or gave",
            self.messages.clone(),
        );
        registry.register(
            "broker_errors",
            "What the broker failed to do",
            self.broker_errors.clone(),
        );
        for operation in [PUBLISH, CONSUME] {
            // Those that never were are 0.
            self.carried(operation, 0);
            let labels = BrokerLabels { operation };
            self.broker_errors.get_or_create(&labels).inc_by(0);
        }
    }

    /// Counts what the broker did.
    pub fn carried(&self, operation: &'static str, messages: usize) {
        let labels = BrokerLabels { operation };
        self.messages.get_or_create(&labels).inc_by(messages as u64);
    }

    /// Counts what the broker failed to do.
    pub fn broker_failed(&self, operation: &'static str) {
        self.broker_errors
            .get_or_create(&BrokerLabels { operation })
            .inc();
    }

    /// Counts what came of a job.
    pub fn outcome(&self, job: &Job, outcome: &JobOutcome) {
        let (from, to) = (job.from.clone(), job.to.clone());
        if let JobOutcome::Copied(bytes) = outcome {
            let way = WayLabels {
                from: from.clone(),
                to: to.clone(),
            };
            self.bytes.get_or_create(&way).inc_by(*bytes);
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
            "Copies that are to be made",
            self.waiting.clone(),
        );
        registry.register(
            "jobs_dead",
            "Copies that failed too often",
            self.dead.clone(),
        );
        registry.register_with_unit(
            "jobs_oldest",
            "How long ago the job was written that waits longest",
            Unit::Seconds,
            self.oldest.clone(),
        );
    }

    /// Asks the database; what it does not say stays as it was.
    pub(super) async fn look(&self, service: &FileService) {
        let status = match tokio::time::timeout(PATIENCE, service.count_jobs()).await {
            Ok(Ok(status)) => status,
            Ok(Err(error)) => {
                tracing::warn!(error = %ErrorChain(&error), "jobs cannot be counted");
                return;
            }
            Err(late) => {
                tracing::warn!(error = %late, "jobs cannot be counted");
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
