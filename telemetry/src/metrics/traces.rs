//! Metrics of the export of traces.

use std::{
    fmt,
    sync::{Arc, atomic::Ordering},
};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric as _},
    metrics::{MetricType, counter::ConstCounter},
};

use crate::traces::SpanCounts;

/// Exports the counts of spans at each scrape.
pub(super) struct TraceCollector(pub(super) Arc<SpanCounts>);

impl fmt::Debug for TraceCollector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TraceCollector")
    }
}

impl Collector for TraceCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut spans = encoder.encode_descriptor(
            "trace_spans",
            "Spans of traces, by the outcome of their export",
            None,
            MetricType::Counter,
        )?;
        for (result, count) in [
            ("sent", &self.0.sent),
            ("failed", &self.0.failed),
            ("dropped", &self.0.dropped),
        ] {
            let count = ConstCounter::new(count.load(Ordering::Relaxed));
            count.encode(spans.encode_family(&[("result", result)])?)?;
        }
        Ok(())
    }
}
