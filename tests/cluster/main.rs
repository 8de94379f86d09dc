//! A whole cluster under traffic, whose parts are killed one after the other: nothing that was
//! acknowledged is lost, and nobody sees what is another's.
//!
//! `CLUSTER_SECONDS` is for how long (60).

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod cluster;
mod faults;
mod files;
mod journal;
mod traffic;

use std::{sync::Arc, time::Duration};

use cluster::Cluster;
use futures_util::future::join_all;
use journal::Journal;
use traffic::Owner;

/// How many owners are at work at a time.
const OWNERS: usize = 12;

fn duration() -> Duration {
    let seconds = std::env::var("CLUSTER_SECONDS").ok();
    Duration::from_secs(seconds.map_or(60, |seconds| seconds.parse().unwrap()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_was_acknowledged_outlives_every_fault() {
    let mut cluster = Cluster::start().await;
    let journal = Arc::new(Journal::default());
    let shared = Arc::default();
    let clients = (0..OWNERS).map(|number| cluster.client_of(&format!("owner{number}")));
    let owners = clients.enumerate().map(|(number, client)| {
        let owner = Owner::new(number, client, Arc::clone(&journal), Arc::clone(&shared));
        // Whoever waits to write reads nothing; some only read.
        let is_reader = number % 4 == 0;
        tokio::spawn(async move {
            if is_reader {
                owner.read_on().await
            } else {
                owner.work().await
            }
        })
    });
    let owners: Vec<_> = owners.collect();

    faults::go_on(&mut cluster, &journal, duration()).await;
    journal.end_traffic();

    let mut files = 0;
    for owner in join_all(owners).await {
        // Whatever went wrong there says so.
        let owner = owner.unwrap();
        files += owner.verify().await;
    }
    journal.print(files);
    cluster.finish().await;
}
