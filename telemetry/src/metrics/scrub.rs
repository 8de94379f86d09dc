//! Metrics of the search for damaged contents.

use std::{fmt, sync::atomic::Ordering::Relaxed};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric as _},
    metrics::{MetricType, counter::ConstCounter},
};
use service::FileService;

/// Exports the counts of the scrubber at each scrape.
#[derive(Debug)]
pub(super) struct ScrubCollector(pub(super) FileService);

impl Collector for ScrubCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let counts = self.0.scrub_counts();
        for (name, help, count) in [
            (
                "scrubbed_contents",
                "Contents that the scrubber of this process has read",
                &counts.contents,
            ),
            (
                "scrubbed_bytes",
                "Bytes that the scrubber of this process has read",
                &counts.bytes,
            ),
            (
                "damaged_copies",
                "Copies that this process found to be damaged",
                &counts.damaged,
            ),
        ] {
            let descriptor = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            ConstCounter::new(count.load(Relaxed)).encode(descriptor)?;
        }
        Ok(())
    }
}
