//! Whether this process does what is done once in the whole cluster.

use std::fmt;

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric as _},
    metrics::{MetricType, gauge::ConstGauge},
};
use service::{FileService, LeaseName};

/// Asks each lease when it is asked for.
pub(super) struct LeaseCollector(pub(super) FileService);

impl fmt::Debug for LeaseCollector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LeaseCollector")
    }
}

impl Collector for LeaseCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let leases = LeaseName::ALL.map(|duty| self.0.lease(duty));
        if leases.iter().all(|lease| !lease.is_candidate()) {
            return Ok(());
        }
        let mut held = encoder.encode_descriptor(
            "lease_held",
            "Whether this process does what is done once in the whole cluster",
            None,
            MetricType::Gauge,
        )?;
        for lease in leases.into_iter().filter(|lease| lease.is_candidate()) {
            let labels = [("lease", lease.name())];
            let is_held = ConstGauge::new(i64::from(lease.is_held()));
            is_held.encode(held.encode_family(&labels)?)?;
        }
        Ok(())
    }
}
