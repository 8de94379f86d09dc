//! How long the database takes, and how often it fails.

use std::fmt;

use persistence::meter::{FAILURES, LATENCY_BOUNDS, Operation, counted};
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric as _, NoLabelSet},
    metrics::{MetricType, counter::ConstCounter},
    registry::Unit,
};

/// Asks for the database's counts when they are asked for.
#[derive(Debug)]
pub(super) struct DatabaseCollector;

impl Collector for DatabaseCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let readings = Operation::ALL.map(|operation| (operation.name(), counted(operation)));
        let mut latencies = encoder.encode_descriptor(
            "database_operation_duration",
            "How long the database took for what it was asked to do, its repetitions included",
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
            "How often something was begun anew that had lost a race",
            None,
            MetricType::Counter,
        )?;
        for (name, reading) in &readings {
            let count = ConstCounter::new(reading.retries);
            count.encode(retries.encode_family(&[("operation", *name)])?)?;
        }
        let mut errors = encoder.encode_descriptor(
            "database_errors",
            "What the database failed to do",
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
