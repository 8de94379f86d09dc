//! The resources of the process, under the standard names of Prometheus clients.
//!
//! They come from Linux's `/proc`; other systems export none of them but the start time.

use std::fmt;

use domain::Timestamp;
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric as _},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge},
    registry::Unit,
};

/// Reads `/proc` at each scrape.
#[derive(Debug)]
pub(super) struct ProcessCollector {
    pub(super) started: Timestamp,
}

impl Collector for ProcessCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        #[expect(
            clippy::cast_precision_loss,
            reason = "a double holds the microseconds until the year 2255"
        )]
        let started = self.started.microseconds() as f64 / 1e6;
        let mut gauge = |name, help, unit: Option<Unit>, value: f64| {
            let kind = MetricType::Gauge;
            let metric = encoder.encode_descriptor(name, help, unit.as_ref(), kind)?;
            ConstGauge::new(value).encode(metric)
        };
        gauge(
            "process_start_time",
            "Start time of the process, since 1970",
            Some(Unit::Seconds),
            started,
        )?;
        if let Some(resident) = resident_bytes() {
            gauge(
                "process_resident_memory",
                "Resident memory of the process",
                Some(Unit::Bytes),
                resident,
            )?;
        }
        if let Some(open) = open_descriptors() {
            gauge("process_open_fds", "Open file descriptors", None, open)?;
        }
        if let Some(limit) = max_descriptors() {
            gauge(
                "process_max_fds",
                "Limit of open file descriptors",
                None,
                limit,
            )?;
        }
        if let Some(threads) = threads() {
            gauge("process_threads", "Threads of the process", None, threads)?;
        }
        if let Some(seconds) = processor_seconds() {
            let (name, help) = ("process_cpu", "User and system CPU time of the process");
            let unit = Unit::Seconds;
            let metric = encoder.encode_descriptor(name, help, Some(&unit), MetricType::Counter)?;
            ConstCounter::new(seconds).encode(metric)?;
        }
        Ok(())
    }
}

/// The fields of `/proc/self/stat` after the program's name, which may contain any character.
fn stat() -> Option<Vec<u64>> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    let (_, fields) = stat.rsplit_once(')')?;
    // Fields that are no unsigned numbers, such as the state, are not used.
    Some(
        fields
            .split_whitespace()
            .map(|field| field.parse().unwrap_or_default())
            .collect(),
    )
}

#[expect(clippy::cast_precision_loss, reason = "the value is far below 2^53")]
fn processor_seconds() -> Option<f64> {
    let fields = stat()?;
    let ticks = fields.get(11)? + fields.get(12)?;
    Some(ticks as f64 / rustix::param::clock_ticks_per_second() as f64)
}

#[expect(clippy::cast_precision_loss, reason = "the value is far below 2^53")]
fn threads() -> Option<f64> {
    stat()?.get(17).map(|threads| *threads as f64)
}

#[expect(clippy::cast_precision_loss, reason = "the value is far below 2^53")]
fn resident_bytes() -> Option<f64> {
    let pages = *stat()?.get(21)?;
    Some(pages as f64 * rustix::param::page_size() as f64)
}

#[expect(clippy::cast_precision_loss, reason = "the value is far below 2^53")]
fn open_descriptors() -> Option<f64> {
    // One of them reads the folder.
    let open = std::fs::read_dir("/proc/self/fd").ok()?.count();
    Some(open.saturating_sub(1) as f64)
}

fn max_descriptors() -> Option<f64> {
    let limits = std::fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn the_resources_of_the_process_are_read() {
        assert!(resident_bytes().unwrap() > 1e5);
        assert!(open_descriptors().unwrap() >= 3.0);
        assert!(max_descriptors().unwrap() >= open_descriptors().unwrap());
        assert!(threads().unwrap() >= 1.0);
        let before = processor_seconds().unwrap();
        let mut work = 1_u64;
        while processor_seconds().unwrap() <= before {
            work = work.wrapping_mul(31);
        }
    }
}
