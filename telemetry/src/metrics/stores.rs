//! How long stores take, and how often they fail.

use std::fmt;

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric as _, NoLabelSet},
    metrics::{MetricType, counter::ConstCounter},
    registry::Unit,
};
use service::FileService;
use storage::{LATENCY_BOUNDS, Operation};

/// Asks each store for its counts when they are asked for.
pub(super) struct StoreCollector(pub(super) FileService);

impl fmt::Debug for StoreCollector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StoreCollector")
    }
}

impl Collector for StoreCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut latencies = encoder.encode_descriptor(
            "store_operation_duration",
            "How long stores took for what they were asked to do",
            Some(&Unit::Seconds),
            MetricType::Histogram,
        )?;
        self.each(|labels, reading| {
            let bounds = LATENCY_BOUNDS.into_iter().chain([f64::MAX]);
            let buckets: Vec<(f64, u64)> = bounds.zip(reading.latencies).collect();
            let count = reading.latencies.iter().sum();
            latencies
                .encode_family(&labels)?
                .encode_histogram::<NoLabelSet>(reading.total.as_secs_f64(), count, &buckets, None)
        })?;
        let mut errors = encoder.encode_descriptor(
            "store_errors",
            "What stores failed to do",
            None,
            MetricType::Counter,
        )?;
        self.each(|labels, reading| {
            let count = ConstCounter::new(reading.errors);
            count.encode(errors.encode_family(&labels)?)
        })
    }
}

impl StoreCollector {
    fn each(
        &self,
        mut tell: impl FnMut([(&'static str, String); 2], storage::Reading) -> fmt::Result,
    ) -> fmt::Result {
        for store in self.0.stores().iter() {
            for operation in Operation::ALL {
                let labels = [
                    ("store", store.name().to_owned()),
                    ("operation", operation.name().to_owned()),
                ];
                tell(labels, store.counted(operation))?;
            }
        }
        Ok(())
    }
}
