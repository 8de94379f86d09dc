//! Hits and misses of the entry cache, and failures of Redis.

use std::fmt;

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric as _},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge},
};
use service::FileService;

/// Exports the counts of the entry cache and of Redis at each scrape; none without Redis.
#[derive(Debug)]
pub(super) struct RedisCollector(pub(super) FileService);

impl Collector for RedisCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let Some(cache) = self.0.entry_cache() else {
            return Ok(());
        };
        let counts = cache.redis().counts();
        for (name, help, count) in [
            (
                "cache_hits",
                "Look-ups of entries that the cache served",
                counts.hits,
            ),
            (
                "cache_misses",
                "Look-ups of entries that the database served because the cache did not",
                counts.misses,
            ),
            (
                "redis_failures",
                "Redis operations that failed or timed out",
                counts.failures,
            ),
            (
                "cache_tombstones_lost",
                "Invalidations that the cache could not store: readers may see old entries until the cache age is over",
                counts.lost_tombstones,
            ),
        ] {
            let counter = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            ConstCounter::new(count).encode(counter)?;
        }
        let is_connected = i64::from(cache.redis().is_connected());
        let help = "1 if the last Redis operation reached Redis, else 0";
        let gauge = encoder.encode_descriptor("redis_up", help, None, MetricType::Gauge)?;
        ConstGauge::new(is_connected).encode(gauge)
    }
}
