//! A Redis that is down, hangs or is out of memory costs next to nothing, and causes no error.

use std::{
    num::NonZeroU32,
    time::{Duration, Instant},
};

use crate::common::{Server, alice, empty_slot, hit, options, sha1, until};
use fileserver_cache::{EntryCache, Options, Redis, RedisRateLimiter};
use redis::Commands as _;

/// Time limit of a command in these tests.
const TIMEOUT: Duration = Duration::from_millis(500);

async fn with_short_timeout(url: &str) -> Redis {
    let options = Options {
        timeout: TIMEOUT,
        ..options(url)
    };
    Redis::open(&options).await.unwrap()
}

/// Runs a thousand commands, and returns their total duration.
async fn run_commands(cache: &EntryCache) -> Duration {
    let rate_limiter = RedisRateLimiter::new(cache.redis().clone(), NonZeroU32::MIN);
    let begun = Instant::now();
    for _ in 0..250 {
        empty_slot(cache).await.fill(&"entry").await;
        cache.invalidate(&alice(), &sha1()).await;
        assert_eq!(rate_limiter.check(&alice()).await, None);
    }
    begun.elapsed()
}

#[tokio::test]
async fn the_cache_is_bypassed_until_redis_is_reachable() {
    let mut server = Server::start("hunter2");
    let url = server.url();
    server.kill();
    let redis = Redis::open(&options(&url)).await.unwrap();
    let cache = EntryCache::new(redis.clone(), Duration::from_mins(1), 1);
    assert!(!redis.is_connected());
    assert!(run_commands(&cache).await < TIMEOUT);
    server.restart();
    until("Redis is not connected", async || {
        let _ = cache.find::<String>(&alice(), &sha1()).await;
        redis.is_connected()
    })
    .await;
    empty_slot(&cache).await.fill(&"entry").await;
    assert_eq!(hit(&cache).await.as_deref(), Some("entry"));
    server.restart();
    until("Redis is not connected after its restart", async || {
        let _ = cache.find::<String>(&alice(), &sha1()).await;
        redis.is_connected()
    })
    .await;
    assert_eq!(hit(&cache).await, None);
}

#[tokio::test]
async fn a_redis_that_hangs_costs_one_timeout() {
    let server = Server::start("hunter2");
    let redis = with_short_timeout(&server.url()).await;
    let cache = EntryCache::new(redis.clone(), Duration::from_mins(1), 1);
    until("Redis is not connected", async || {
        let _ = cache.find::<String>(&alice(), &sha1()).await;
        redis.is_connected()
    })
    .await;
    empty_slot(&cache).await.fill(&"before").await;
    let before = slot_of_bob(&cache).await;
    server.freeze(true);
    let took = run_commands(&cache).await;
    assert!(took < TIMEOUT * 3 / 2, "{took:?}");
    // Reconnects run in the background, and delay no call.
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(5) {
        let call_started = Instant::now();
        assert_cached_or_miss(&cache).await;
        assert!(call_started.elapsed() < TIMEOUT);
    }
    assert!(!redis.is_connected());
    server.freeze(false);
    until("Redis is not connected", async || {
        assert_cached_or_miss(&cache).await;
        redis.is_connected()
    })
    .await;
    before.fill(&"other").await;
    assert_eq!(hit(&cache).await.as_deref(), Some("before"));
}

async fn slot_of_bob(cache: &EntryCache) -> fileserver_cache::CacheSlot {
    match cache.find::<String>(&"bob".parse().unwrap(), &sha1()).await {
        fileserver_cache::Lookup::Miss(slot) => slot,
        fileserver_cache::Lookup::Hit(_) => panic!("no test stores this entry"),
    }
}

async fn assert_cached_or_miss(cache: &EntryCache) {
    if let Some(entry) = hit(cache).await {
        assert_eq!(entry, "before");
    }
}

#[tokio::test]
async fn a_redis_at_its_memory_limit_still_invalidates() {
    let server = Server::start("hunter2");
    let redis = Redis::open(&options(&server.url())).await.unwrap();
    let cache = EntryCache::new(redis.clone(), Duration::from_mins(1), 1);
    empty_slot(&cache).await.fill(&"old").await;
    let mut direct = server.connection();
    let _: () = redis::cmd("CONFIG")
        .arg(&["SET", "maxmemory", "1"])
        .query(&mut direct)
        .unwrap();
    assert_eq!(hit(&cache).await.as_deref(), Some("old"));
    cache.invalidate(&alice(), &sha1()).await;
    empty_slot(&cache).await.fill(&"new").await;
    assert_eq!(hit(&cache).await, None);
    let keys: Vec<String> = direct.keys("*").unwrap();
    assert!(keys.is_empty(), "{keys:?}");
    assert!(redis.is_connected());
    assert_eq!(redis.counts().failures, 2);
}

#[tokio::test]
async fn a_redis_that_became_a_replica_is_disconnected() {
    let server = Server::start("hunter2");
    let redis = Redis::open(&options(&server.url())).await.unwrap();
    let cache = EntryCache::new(redis.clone(), Duration::from_mins(1), 1);
    let _: () = redis::cmd("REPLICAOF")
        .arg(&["127.0.0.1", "1"])
        .query(&mut server.connection())
        .unwrap();
    cache.invalidate(&alice(), &sha1()).await;
    assert!(!redis.is_connected());
    assert_eq!(redis.counts().lost_tombstones, 1, "Redis refused it");
    cache.invalidate(&alice(), &sha1()).await;
    assert_eq!(redis.counts().failures, 1, "Redis is left alone");
    assert_eq!(redis.counts().lost_tombstones, 2, "Redis was not asked");
}

#[tokio::test]
async fn a_wrong_password_causes_no_error() {
    let server = Server::start("hunter2");
    let url = server.url().replace("hunter2", "hunter3");
    let redis = Redis::open(&options(&url)).await.unwrap();
    assert!(!redis.is_connected());
    assert_eq!(redis.counts().failures, 1);
}
