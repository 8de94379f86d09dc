//! The service is killed at random moments, again and again, while sixteen owners work with it: what was
//! acknowledged is there and whole after each kill, and nothing that was half done is taken for done.
//!
//! `CRASH_KILLS` is the number of kills of each test (7), `CRASH_SEED` what the requests and the moments
//! follow from. Two runs with a seed send the same requests, but the machine decides how far they come.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod model;
mod owner;
mod uploads;

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;
use harness::{Ceph, Dice, Kind, Server, lent};
use owner::Owner;
use tokio::time::sleep;

/// The number of owners who work at the same time.
const OWNERS: u64 = 16;

/// The longest time, in milliseconds, from a start to the next kill.
const LONGEST: usize = 1500;

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok();
    text.map(|text| text.parse().unwrap())
}

async fn acknowledged_files_outlive_kills(kind: Kind, store: &[(&'static str, &str)]) {
    let seed = number("CRASH_SEED").unwrap_or_else(|| getrandom::u64().unwrap() >> 32);
    let kills = number("CRASH_KILLS").unwrap_or(7);
    // Shown if the test fails.
    println!("CRASH_SEED={seed}");
    let mut dice = Dice::seeded(seed.wrapping_mul(1000));
    let access = [
        ("FILESERVER_AUTH", "token"),
        ("FILESERVER_CLAIMS_PER_MINUTE", "1000000"),
    ];
    let server = Server::alone(kind, &[store, &access].concat()).await;
    let token = server.token("root", "files:read,files:write,admin");
    let client = server.client().with_token(&token);
    let shared = Arc::default();
    let mut owners: Vec<Owner> = (1..=OWNERS)
        .map(|number| Owner::new(number, seed, &client, &shared))
        .collect();
    for kill in 1..=kills {
        let working = owners.into_iter().map(|owner| tokio::spawn(owner.work()));
        let working: Vec<_> = working.collect();
        // Some kills come while the service has hardly begun.
        let longest = [LONGEST, LONGEST, LONGEST / 20][dice.below(3)];
        let time = Duration::from_millis(dice.below(longest).try_into().unwrap());
        sleep(time).await;
        server.kill().await;
        println!("kill {kill} after {time:?}");
        // A failed assertion of an owner's ends the test here.
        owners = join_all(working)
            .await
            .into_iter()
            .map(Result::unwrap)
            .collect();
        server.restart().await;
        join_all(owners.iter_mut().map(Owner::settle)).await;
    }
    join_all(owners.iter().map(Owner::verify)).await;
    let sums: Vec<_> = owners.iter().map(Owner::counts).collect();
    let acknowledged: usize = sums.iter().map(|(acknowledged, _)| acknowledged).sum();
    let unanswered: usize = sums.iter().map(|(_, unanswered)| unanswered).sum();
    println!("{acknowledged} changes were acknowledged, {unanswered} got no answer");
    assert!(unanswered > 0 && acknowledged > 0, "the kills hit nothing");
    server.stop().await;
    server.check_is_clean();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite_and_a_disk() {
    acknowledged_files_outlive_kills(Kind::Sqlite, &[]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mariadb_and_a_disk() {
    acknowledged_files_outlive_kills(Kind::MariaDb, &[]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_and_a_bucket() {
    let mut settings = Ceph::settings();
    settings.push(("FILESERVER_PRIMARY", "ceph".to_owned()));
    acknowledged_files_outlive_kills(Kind::Postgres, &lent(&settings)).await;
}
