//! Latencies, retries and errors of the database.

use std::fmt;

use persistence::meter::{FAILURES, LATENCY_BOUNDS, Operation, counted};
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric as _, NoLabelSet},
    metrics::{MetricType, counter::ConstCounter},
    registry::Unit,
};

/// Exports the latencies, retries and errors of the database at each scrape.
#[derive(Debug)]
pub(super) struct DatabaseCollector;

impl Collector for DatabaseCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let readings = Operation::ALL.map(|operation| (operation.name(), counted(operation)));
        let mut latencies = encoder.encode_descriptor(
            "database_operation_duration",
            "Duration of database operations, including their retries",
            Some(&Unit::Seconds),
            MetricType::Histogram,
        )?;
        for (name, reading) in &readings {
            let bounds = LATENCY_BOUNDS.into_iter().chain([f64::MAX]);
            let buckets: Vec<(f64, u64)> = bounds.zip(reading.latencies).collect();
            let count = reading.latencies.iter().sum();
            latencies
                .encode_family(&[("operation", *name)])?
                .encode_histogram::<NoLabelSet>(
                    reading.total.as_secs_f64(),
                    count,
                    &buckets,
                    None,
                )?;
        }
        let mut retries = encoder.encode_descriptor(
            "database_retries",
            "Retries of database operations after a conflict with another transaction",
            None,
            MetricType::Counter,
        )?;
        for (name, reading) in &readings {
            let count = ConstCounter::new(reading.retries);
            count.encode(retries.encode_family(&[("operation", *name)])?)?;
        }
        let mut errors = encoder.encode_descriptor(
            "database_errors",
            "Failed database operations",
            None,
            MetricType::Counter,
        )?;
        for (name, reading) in &readings {
            for (failure, count) in FAILURES.into_iter().zip(reading.failures) {
                let labels = [("operation", *name), ("error", failure)];
                ConstCounter::new(count).encode(errors.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }
}
