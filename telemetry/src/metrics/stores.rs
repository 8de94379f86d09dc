//! The latencies and errors of stores.

use std::fmt;

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder},
    metrics::MetricType,
    registry::Unit,
};
use service::FileService;
use storage::{Operation, OperationMetrics};

/// Exports the metrics that each store keeps, with the store and the operation as labels.
#[derive(Debug)]
pub(super) struct StoreCollector(pub(super) FileService);

impl Collector for StoreCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let durations = encoder.encode_descriptor(
            "store_operation_duration",
            "Duration of operations on stores",
            Some(&Unit::Seconds),
            MetricType::Histogram,
        )?;
        self.encode_each(durations, |metrics| &metrics.duration)?;
        let errors = encoder.encode_descriptor(
            "store_errors",
            "Failed operations on stores",
            None,
            MetricType::Counter,
        )?;
        self.encode_each(errors, |metrics| &metrics.errors)
    }
}

impl StoreCollector {
    fn encode_each<M: EncodeMetric>(
        &self,
        mut encoder: MetricEncoder<'_>,
        metric: impl Fn(&OperationMetrics) -> &M,
    ) -> fmt::Result {
        for store in self.0.stores().iter() {
            for operation in Operation::ALL {
                let labels = [("store", store.name()), ("operation", operation.name())];
                metric(store.metrics(operation)).encode(encoder.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }
}
