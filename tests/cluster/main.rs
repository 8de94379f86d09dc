//! A whole cluster under traffic, whose parts are killed one after the other: no acknowledged change
//! is lost, no read is staler than the service documents, and no owner sees another's files.
//!
//! `CLUSTER_SECONDS` is the duration of the faults (60).

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod cluster;
mod faults;
mod journal;
mod staleness;
mod traffic;

use std::{sync::Arc, time::Duration};

use cluster::Cluster;
use futures_util::future::join_all;
use journal::Journal;
use tokio::task::JoinHandle;
use traffic::Owner;

/// The number of owners who work at the same time.
const OWNERS: usize = 12;

fn duration() -> Duration {
    let seconds = std::env::var("CLUSTER_SECONDS").ok();
    Duration::from_secs(seconds.map_or(60, |seconds| seconds.parse().unwrap()))
}

/// Follows what the replicas count of tombstones that they could not place.
fn follow_tombstones(cluster: &Cluster, journal: &Arc<Journal>) -> Vec<JoinHandle<()>> {
    let clients = cluster.metrics();
    journal.lost_tombstones.follow(clients.len());
    let follow = |(number, client)| {
        let journal = Arc::clone(journal);
        tokio::spawn(async move { journal.lost_tombstones.poll(number, &client).await })
    };
    clients.into_iter().enumerate().map(follow).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_was_acknowledged_outlives_every_fault() {
    let mut cluster = Cluster::start().await;
    let journal = Arc::new(Journal::default());
    let shared = Arc::default();
    let polls = follow_tombstones(&cluster, &journal);
    let clients = (0..OWNERS).map(|number| cluster.client_of(&format!("owner{number}")));
    let owners = clients.enumerate().map(|(number, client)| {
        let owner = Owner::new(number, client, Arc::clone(&journal), Arc::clone(&shared));
        // An owner whose write waits does not read, so some owners only read.
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
        // A failed assertion of an owner's ends the test here.
        let owner = owner.unwrap();
        files += owner.verify().await;
    }
    for poll in polls {
        assert!(!poll.is_finished(), "a counter was not followed");
        poll.abort();
    }
    journal.print(files);
    cluster.finish().await;
}
