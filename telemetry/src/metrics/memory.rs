//! Metrics of the memory for the bytes of requests.

use std::fmt;

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric as _},
    metrics::{MetricType, gauge::ConstGauge},
    registry::Unit,
};
use service::FileService;

/// Exports how much of the memory is taken, at each scrape.
#[derive(Debug)]
pub(super) struct MemoryCollector(pub(super) FileService);

impl Collector for MemoryCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        // All stores share it.
        let memory = self.0.stores().primary().memory();
        for (name, help, bytes) in [
            (
                "request_memory",
                "Memory that requests and copies have taken for large pieces",
                Some(memory.taken()),
            ),
            (
                "request_memory_limit",
                "Memory that requests and copies can take for large pieces",
                memory.size(),
            ),
        ] {
            let Some(bytes) = bytes else { continue };
            let kind = MetricType::Gauge;
            let metric = encoder.encode_descriptor(name, help, Some(&Unit::Bytes), kind)?;
            ConstGauge::new(i64::try_from(bytes).unwrap_or(i64::MAX)).encode(metric)?;
        }
        Ok(())
    }
}
