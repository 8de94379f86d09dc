//! The leases that this process holds.

use std::fmt;

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric as _},
    metrics::{MetricType, gauge::ConstGauge},
};
use service::{FileService, LeaseName};

/// Exports the state of each lease at each scrape.
#[derive(Debug)]
pub(super) struct LeaseCollector(pub(super) FileService);

impl Collector for LeaseCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let leases = LeaseName::ALL.map(|name| self.0.lease(name));
        if leases.iter().all(|lease| !lease.is_candidate()) {
            return Ok(());
        }
        let mut held = encoder.encode_descriptor(
            "lease_held",
            "1 if this process holds the lease of work that one process does for the whole cluster, else 0",
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
