//! How often the cache spares a query, and how often Redis fails.

use std::fmt;

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric as _},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge},
};
use service::FileService;

/// Asks for the counts when they are asked for; there are none without Redis.
pub(super) struct RedisCollector(pub(super) FileService);

impl fmt::Debug for RedisCollector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RedisCollector")
    }
}

impl Collector for RedisCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let Some(hot) = self.0.entry_cache() else {
            return Ok(());
        };
        let counts = hot.redis().counts();
        for (name, help, count) in [
            (
                "cache_hits",
                "Entries that were found in the cache",
                counts.hits,
            ),
            (
                "cache_misses",
                "Entries that the database was asked for, though there is a cache",
                counts.misses,
            ),
            (
                "redis_failures",
                "What Redis did not do, or not in time",
                counts.failures,
            ),
            (
                "cache_tombstones_lost",
                "Changes that the cache could not be told: what it has may be old until its age is over",
                counts.lost_tombstones,
            ),
        ] {
            let counter = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            ConstCounter::new(count).encode(counter)?;
        }
        let is_there = i64::from(hot.redis().is_connected());
        let help = "Whether Redis was there when it was asked last";
        let gauge = encoder.encode_descriptor("redis_up", help, None, MetricType::Gauge)?;
        ConstGauge::new(is_there).encode(gauge)
    }
}
