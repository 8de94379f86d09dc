//! What the process takes of its machine, under the names that all exporters of such numbers use.
//!
//! They are those of Linux; elsewhere there are none.

use std::fmt;

use domain::Timestamp;
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric as _},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge},
    registry::Unit,
};

/// Asks the kernel when it is asked.
#[derive(Debug)]
pub(super) struct ProcessCollector {
    pub(super) started: Timestamp,
}

impl Collector for ProcessCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        #[expect(
            clippy::cast_precision_loss,
            reason = "microseconds are more than is asked for"
        )]
        let started = self.started.microseconds() as f64 / 1e6;
        let mut gauge = |name, help, unit: Option<Unit>, value: f64| {
            let kind = MetricType::Gauge;
            let metric = encoder.encode_descriptor(name, help, unit.as_ref(), kind)?;
            ConstGauge::new(value).encode(metric)
        };
        gauge(
            "process_start_time",
            "When the process was started",
            Some(Unit::Seconds),
            started,
        )?;
        if let Some(resident) = resident_bytes() {
            gauge(
                "process_resident_memory",
                "Memory that the process has",
                Some(Unit::Bytes),
                resident,
            )?;
        }
        if let Some(open) = open_descriptors() {
            gauge(
                "process_open_fds",
                "File descriptors that are open",
                None,
                open,
            )?;
        }
        if let Some(most) = most_descriptors() {
            gauge(
                "process_max_fds",
                "File descriptors that may be open",
                None,
                most,
            )?;
        }
        if let Some(threads) = threads() {
            gauge("process_threads", "Threads of the process", None, threads)?;
        }
        if let Some(seconds) = processor_seconds() {
            let (name, help) = ("process_cpu", "Time that processors spent on the process");
            let unit = Unit::Seconds;
            let metric = encoder.encode_descriptor(name, help, Some(&unit), MetricType::Counter)?;
            ConstCounter::new(seconds).encode(metric)?;
        }
        Ok(())
    }
}

/// The fields of `/proc/self/stat` after the program's name, which may have anything in it.
fn stat() -> Option<Vec<u64>> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    let (_, fields) = stat.rsplit_once(')')?;
    // What is no such number, as the state is not, is not asked for.
    Some(
        fields
            .split_whitespace()
            .map(|field| field.parse().unwrap_or_default())
            .collect(),
    )
}

#[expect(clippy::cast_precision_loss, reason = "nobody needs all digits")]
fn processor_seconds() -> Option<f64> {
    let fields = stat()?;
    let ticks = fields.get(11)? + fields.get(12)?;
    Some(ticks as f64 / rustix::param::clock_ticks_per_second() as f64)
}

#[expect(clippy::cast_precision_loss, reason = "nobody needs all digits")]
fn threads() -> Option<f64> {
    stat()?.get(17).map(|threads| *threads as f64)
}

#[expect(clippy::cast_precision_loss, reason = "nobody needs all digits")]
fn resident_bytes() -> Option<f64> {
    let pages = *stat()?.get(21)?;
    Some(pages as f64 * rustix::param::page_size() as f64)
}

#[expect(clippy::cast_precision_loss, reason = "there are not so many")]
fn open_descriptors() -> Option<f64> {
    // One of them is that of the folder.
    let open = std::fs::read_dir("/proc/self/fd").ok()?.count();
    Some(open.saturating_sub(1) as f64)
}

fn most_descriptors() -> Option<f64> {
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
    fn the_kernel_tells_what_the_process_takes() {
        assert!(resident_bytes().unwrap() > 1e5);
        assert!(open_descriptors().unwrap() >= 3.0);
        assert!(most_descriptors().unwrap() >= open_descriptors().unwrap());
        assert!(threads().unwrap() >= 1.0);
        let before = processor_seconds().unwrap();
        let mut work = 1_u64;
        while processor_seconds().unwrap() <= before {
            work = work.wrapping_mul(31);
        }
    }
}
