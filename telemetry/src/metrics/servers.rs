//! The state of the database servers, if there are several.

use std::fmt;

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric as _},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge},
    registry::Unit,
};
use service::{FileService, ServerStatus};

/// Exports the state of each database server at each scrape.
#[derive(Debug)]
pub(super) struct ServerCollector(pub(super) FileService);

impl Collector for ServerCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let Some(status) = self.0.replica_set_status() else {
            return Ok(());
        };
        let mut gauges = |name, help, unit, value: &dyn Fn(&ServerStatus) -> Option<f64>| {
            let mut gauge = encoder.encode_descriptor(name, help, unit, MetricType::Gauge)?;
            for server in &status.servers {
                let labels = [("server", server.name.as_str())];
                if let Some(value) = value(server) {
                    ConstGauge::new(value).encode(gauge.encode_family(&labels)?)?;
                }
            }
            Ok(())
        };
        let flag = |flag: bool| Some(f64::from(u8::from(flag)));
        gauges(
            "database_server_usable",
            "1 if a database server may serve reads, else 0",
            None,
            &|server| flag(server.is_readable),
        )?;
        gauges(
            "database_server_primary",
            "1 if a database server is the primary, which takes writes, else 0",
            None,
            &|server| flag(server.is_primary),
        )?;
        gauges(
            "database_server_lag",
            "Upper bound of the lag of a database server behind the primary",
            Some(&Unit::Seconds),
            &|server| Some(server.lag?.as_secs_f64()),
        )?;
        let mut reads = encoder.encode_descriptor(
            "database_reads",
            "Statements that a replica may serve, by the server that served them",
            None,
            MetricType::Counter,
        )?;
        for (from, count) in [
            ("replica", status.reads_from_replicas),
            ("primary", status.reads_from_primary),
        ] {
            let labels = [("from", from)];
            ConstCounter::new(count).encode(reads.encode_family(&labels)?)?;
        }
        Ok(())
    }
}
