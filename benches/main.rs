//! Measures the release build, side by side in one run.
//!
//!     cargo run --release --package benches -- [memory] [stream] [resumable] [rows [ROWS]] [small] [access] [stores] [cluster] [verified]
//!
//! Without arguments it measures everything. Machines are noisy: what counts are the ratios.

#![expect(
    clippy::cast_precision_loss,
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a measurement that cannot go on panics, and shows figures to three digits"
)]

mod access;
mod cluster;
mod memory;
mod resumable;
mod rows;
mod server;
mod small;
mod stores;
mod stream;
mod verified;

use std::time::{Duration, Instant};

/// A mebibyte.
const MIB: u64 = 1024 * 1024;

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let wanted = |name: &str| arguments.is_empty() || arguments.iter().any(|other| other == name);
    if wanted("memory") {
        memory::measure().await;
    }
    if wanted("stream") {
        stream::measure().await;
    }
    if wanted("resumable") {
        resumable::measure().await;
    }
    if wanted("small") {
        small::measure().await;
    }
    if wanted("access") {
        access::measure().await;
    }
    if wanted("stores") {
        stores::measure().await;
    }
    if wanted("cluster") {
        cluster::measure().await;
    }
    if wanted("verified") {
        verified::measure().await;
    }
    if wanted("rows") {
        let rows = arguments.iter().find_map(|argument| argument.parse().ok());
        rows::measure(rows.unwrap_or(1_000_000)).await;
    }
}

/// The duration of a piece of work.
async fn timed<T>(work: impl Future<Output = T>) -> (T, Duration) {
    let began = Instant::now();
    let done = work.await;
    (done, began.elapsed())
}

/// The middle one of several measurements.
fn median(mut durations: Vec<Duration>) -> Duration {
    durations.sort();
    durations[durations.len() / 2]
}

fn mib_per_second(bytes: u64, took: Duration) -> f64 {
    bytes as f64 / MIB as f64 / took.as_secs_f64()
}
