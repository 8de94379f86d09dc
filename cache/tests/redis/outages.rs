//! What a Redis costs that is dead, hangs or has no room: next to nothing, and never an error.

use std::{
    num::NonZeroU32,
    time::{Duration, Instant},
};

use crate::common::{Server, alice, gap, hit, options, sha1, until};
use fileserver_cache::{HotEntries, Options, Redis, SharedTurnover};
use redis::Commands as _;

/// How long an answer is waited for in these tests.
const TIMEOUT: Duration = Duration::from_millis(500);

async fn hurried(url: &str) -> Redis {
    let options = Options {
        timeout: TIMEOUT,
        ..options(url)
    };
    Redis::open(&options).await.unwrap()
}

/// Asks for a thousand things; gives how long it took.
async fn ask_often(entries: &HotEntries) -> Duration {
    let turnover = SharedTurnover::new(entries.redis().clone(), NonZeroU32::MIN);
    let begun = Instant::now();
    for _ in 0..250 {
        gap(entries).await.fill(&"entry").await;
        entries.forget(&alice(), &sha1()).await;
        assert_eq!(turnover.take(&alice()).await, None);
    }
    begun.elapsed()
}

#[tokio::test]
async fn a_redis_that_is_not_there_is_done_without_until_it_comes() {
    let mut server = Server::start("hunter2");
    let url = server.url();
    server.kill();
    let redis = Redis::open(&options(&url)).await.unwrap();
    let entries = HotEntries::new(redis.clone(), Duration::from_mins(1), 1);
    assert!(!redis.is_there());
    assert!(ask_often(&entries).await < TIMEOUT);
    server.restart();
    until("it is found", async || {
        let _ = entries.find::<String>(&alice(), &sha1()).await;
        redis.is_there()
    })
    .await;
    gap(&entries).await.fill(&"entry").await;
    assert_eq!(hit(&entries).await.as_deref(), Some("entry"));
    server.restart();
    until("it is found again, empty", async || {
        let _ = entries.find::<String>(&alice(), &sha1()).await;
        redis.is_there()
    })
    .await;
    assert_eq!(hit(&entries).await, None);
}

#[tokio::test]
async fn a_redis_that_hangs_costs_one_wait() {
    let server = Server::start("hunter2");
    let redis = hurried(&server.url()).await;
    let entries = HotEntries::new(redis.clone(), Duration::from_mins(1), 1);
    until("it is there", async || {
        let _ = entries.find::<String>(&alice(), &sha1()).await;
        redis.is_there()
    })
    .await;
    gap(&entries).await.fill(&"before").await;
    let before = gap_of_another(&entries).await;
    server.freeze(true);
    let took = ask_often(&entries).await;
    assert!(took < TIMEOUT * 3 / 2, "{took:?}");
    // It is tried again in the background, and nobody waits for that.
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(5) {
        let one = Instant::now();
        before_or_gone(&entries).await;
        assert!(one.elapsed() < TIMEOUT);
    }
    assert!(!redis.is_there());
    server.freeze(false);
    until("it is found", async || {
        before_or_gone(&entries).await;
        redis.is_there()
    })
    .await;
    before.fill(&"other").await;
    assert_eq!(hit(&entries).await.as_deref(), Some("before"));
}

async fn gap_of_another(entries: &HotEntries) -> fileserver_cache::Gap {
    match entries
        .find::<String>(&"bob".parse().unwrap(), &sha1())
        .await
    {
        fileserver_cache::Found::Miss(gap) => gap,
        fileserver_cache::Found::Hit(_) => panic!("nobody put it there"),
    }
}

async fn before_or_gone(entries: &HotEntries) {
    if let Some(entry) = hit(entries).await {
        assert_eq!(entry, "before");
    }
}

#[tokio::test]
async fn a_redis_without_room_still_lets_go() {
    let server = Server::start("hunter2");
    let redis = Redis::open(&options(&server.url())).await.unwrap();
    let entries = HotEntries::new(redis.clone(), Duration::from_mins(1), 1);
    gap(&entries).await.fill(&"old").await;
    let mut direct = server.connection();
    let _: () = redis::cmd("CONFIG")
        .arg(&["SET", "maxmemory", "1"])
        .query(&mut direct)
        .unwrap();
    assert_eq!(hit(&entries).await.as_deref(), Some("old"));
    entries.forget(&alice(), &sha1()).await;
    gap(&entries).await.fill(&"new").await;
    assert_eq!(hit(&entries).await, None);
    let keys: Vec<String> = direct.keys("*").unwrap();
    assert!(keys.is_empty(), "{keys:?}");
    assert!(redis.is_there());
    assert_eq!(redis.counts().failures, 2);
}

#[tokio::test]
async fn a_redis_that_became_a_replica_is_left() {
    let server = Server::start("hunter2");
    let redis = Redis::open(&options(&server.url())).await.unwrap();
    let entries = HotEntries::new(redis.clone(), Duration::from_mins(1), 1);
    let _: () = redis::cmd("REPLICAOF")
        .arg(&["127.0.0.1", "1"])
        .query(&mut server.connection())
        .unwrap();
    entries.forget(&alice(), &sha1()).await;
    assert!(!redis.is_there());
    assert_eq!(redis.counts().lost_tombstones, 1, "Redis refused it");
    entries.forget(&alice(), &sha1()).await;
    assert_eq!(redis.counts().failures, 1, "it is left alone");
    assert_eq!(redis.counts().lost_tombstones, 2, "Redis was not asked");
}

#[tokio::test]
async fn a_wrong_password_is_no_error_and_not_shown() {
    let server = Server::start("hunter2");
    let url = server.url().replace("hunter2", "hunter3");
    let redis = Redis::open(&options(&url)).await.unwrap();
    assert!(!redis.is_there());
    assert_eq!(redis.counts().failures, 1);
}
