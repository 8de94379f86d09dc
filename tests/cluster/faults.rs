//! The faults, one after the other.

use std::time::{Duration, Instant};

use harness::{Pair, Redis, Replica, Which};
use tokio::{sync::watch, task::block_in_place, time::sleep};

use crate::{
    cluster::{Cluster, restart_broker},
    journal::{Journal, Staleness},
};

/// The time between two kills of the service's processes.
const KILL_INTERVAL: Duration = Duration::from_secs(4);

/// The pause between two faults, in which only those processes are killed.
const PAUSE: Duration = Duration::from_secs(3);

/// The duration of a fault.
const FAULT_TIME: Duration = Duration::from_secs(3);

/// Breaks and repairs one part after the other until a time is over, but each part at least once.
/// Meanwhile the service's processes are killed, one at a time.
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
    let killing = keep_killing(replicas, worker, journal, stopped);
    let breaking = async {
        loop {
            journal.begin_fault("replicas are killed", Staleness::None);
            sleep(PAUSE).await;
            break_all(databases, primary, redis, journal).await;
            if began.elapsed() >= time {
                break;
            }
        }
        journal.begin_fault("replicas are killed", Staleness::None);
        stop.send_replace(true);
    };
    tokio::join!(killing, breaking);
    // All processes find the last part that was repaired.
    sleep(PAUSE).await;
}

async fn break_all(
    databases: &mut Pair,
    primary: &mut Which,
    redis: &mut Redis,
    journal: &Journal,
) {
    let replica = primary.other();

    journal.begin_fault("the database's replica is behind", Staleness::None);
    block_in_place(|| databases.hold_back(replica, true));
    sleep(FAULT_TIME).await;
    block_in_place(|| databases.hold_back(replica, false));
    pause(journal).await;

    journal.begin_fault("the database's replica is killed", Staleness::None);
    block_in_place(|| databases.kill(replica));
    sleep(FAULT_TIME).await;
    block_in_place(|| databases.restart(replica, false));
    pause(journal).await;

    journal.begin_fault("Redis is killed", Staleness::CachedEntries);
    redis.kill();
    sleep(FAULT_TIME).await;
    redis.restart();
    pause(journal).await;

    journal.begin_fault("RabbitMQ is killed", Staleness::None);
    block_in_place(restart_broker);
    pause(journal).await;

    journal.begin_fault(
        "the primary is killed, and the replica promoted",
        Staleness::AllReads,
    );
    block_in_place(|| databases.kill(*primary));
    sleep(FAULT_TIME).await;
    block_in_place(|| databases.promote(replica));
    sleep(FAULT_TIME).await;
    block_in_place(|| databases.restart(*primary, false));
    block_in_place(|| databases.rejoin(*primary));
    *primary = replica;
    pause(journal).await;
}

async fn pause(journal: &Journal) {
    journal.end_fault();
    sleep(PAUSE).await;
}

/// Kills one process after the other, and restarts it.
async fn keep_killing(
    replicas: &mut [Replica],
    worker: &mut Replica,
    journal: &Journal,
    stopped: watch::Receiver<bool>,
) {
    let count = replicas.len();
    loop {
        for (number, victim) in replicas.iter_mut().chain([&mut *worker]).enumerate() {
            sleep(KILL_INTERVAL).await;
            if *stopped.borrow() {
                return;
            }
            victim.kill().await;
            // The worker changes no entry.
            if number < count {
                journal.lost_tombstones.note_kill(number);
            }
            sleep(Duration::from_secs(1)).await;
            victim.start_again().await;
        }
    }
}
