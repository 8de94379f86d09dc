//! What is broken, one after the other.

use std::time::{Duration, Instant};

use harness::{Pair, Redis, Replica, Which};
use tokio::{sync::watch, task::block_in_place, time::sleep};

use crate::{
    cluster::{Cluster, restart_broker},
    journal::Journal,
};

/// How often one of the service's processes is killed.
const KILL_EVERY: Duration = Duration::from_secs(4);

/// How long everything but those processes is well between two faults.
const REST: Duration = Duration::from_secs(3);

/// How long a fault lasts.
const FAULT: Duration = Duration::from_secs(3);

/// Breaks one part after the other, and mends it, for a time, but each once at least; and all the
/// while kills the service's processes.
pub(crate) async fn go_on(cluster: &mut Cluster, journal: &Journal, time: Duration) {
    let began = Instant::now();
    let Cluster {
        databases,
        primary,
        replicas,
        worker,
        redis,
        ..
    } = cluster;
    let (stop, stopped) = watch::channel(false);
    let killing = keep_killing(replicas, worker, stopped);
    let breaking = async {
        loop {
            journal.begin_fault("replicas are killed", false);
            sleep(REST).await;
            break_all(databases, primary, redis, journal).await;
            if began.elapsed() >= time {
                break;
            }
        }
        journal.begin_fault("replicas are killed", false);
        stop.send_replace(true);
    };
    tokio::join!(killing, breaking);
    // And nothing is broken any more.
    sleep(REST).await;
}

async fn break_all(
    databases: &mut Pair,
    primary: &mut Which,
    redis: &mut Redis,
    journal: &Journal,
) {
    let replica = primary.other();

    journal.begin_fault("the database's replica is behind", false);
    block_in_place(|| databases.hold_back(replica, true));
    sleep(FAULT).await;
    block_in_place(|| databases.hold_back(replica, false));
    rest(journal).await;

    journal.begin_fault("the database's replica is killed", false);
    block_in_place(|| databases.kill(replica));
    sleep(FAULT).await;
    block_in_place(|| databases.restart(replica, false));
    rest(journal).await;

    journal.begin_fault("Redis is killed", true);
    redis.kill();
    sleep(FAULT).await;
    redis.restart();
    rest(journal).await;

    journal.begin_fault("RabbitMQ is killed", false);
    block_in_place(restart_broker);
    rest(journal).await;

    journal.begin_fault("the primary is killed, then promoted", true);
    block_in_place(|| databases.kill(*primary));
    sleep(FAULT).await;
    block_in_place(|| databases.promote(replica));
    sleep(FAULT).await;
    block_in_place(|| databases.restart(*primary, false));
    block_in_place(|| databases.rejoin(*primary));
    *primary = replica;
    rest(journal).await;
}

async fn rest(journal: &Journal) {
    journal.end_fault();
    sleep(REST).await;
}

/// Kills one process after the other, and starts it again.
async fn keep_killing(
    replicas: &mut [Replica],
    worker: &mut Replica,
    stopped: watch::Receiver<bool>,
) {
    loop {
        for victim in replicas.iter_mut().chain([&mut *worker]) {
            sleep(KILL_EVERY).await;
            if *stopped.borrow() {
                return;
            }
            victim.kill().await;
            sleep(Duration::from_secs(1)).await;
            victim.start_again().await;
        }
    }
}
