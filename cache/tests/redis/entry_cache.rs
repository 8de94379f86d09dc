//! The guarantees of the cache about the age of its entries.

use std::{
    num::NonZeroU32,
    time::{Duration, Instant},
};

use crate::common::{
    MAX_AGE, Server, alice, cache, connection, counts, empty_slot, hit, only_key, options, sha1,
    url,
};
use domain::Owner;
use fileserver_cache::{EntryCache, Lookup, Redis, RedisRateLimiter};
use redis::Commands as _;
use tokio::time::sleep;

#[tokio::test]
async fn an_entry_expires_at_its_maximum_age() {
    let cache = cache().await;
    let begun = Instant::now();
    empty_slot(&cache).await.fill(&"old").await;
    assert_eq!(hit(&cache).await.as_deref(), Some("old"));
    while hit(&cache).await.is_some() {
        assert!(begun.elapsed() < MAX_AGE + Duration::from_secs(1));
        sleep(Duration::from_millis(5)).await;
    }
    let counted = cache.redis().counts();
    assert_eq!((counted.misses, counted.failures), (2, 0));
    assert!(counted.hits > 0);
}

#[tokio::test]
async fn the_age_starts_before_the_database_is_read() {
    let cache = cache().await;
    let slot = empty_slot(&cache).await;
    // The time that the database takes.
    sleep(MAX_AGE.saturating_sub(Duration::from_millis(300))).await;
    slot.fill(&"old").await;
    sleep(Duration::from_millis(310)).await;
    assert_eq!(hit(&cache).await, None);
    // A value that is written after its expiry is not stored.
    let slot = empty_slot(&cache).await;
    sleep(MAX_AGE + Duration::from_millis(10)).await;
    slot.fill(&"old").await;
    assert_eq!(hit(&cache).await, None);
}

#[tokio::test]
async fn a_value_read_before_a_change_is_never_cached_again() {
    let cache = cache().await;
    let before = empty_slot(&cache).await;
    cache.invalidate(&alice(), &sha1()).await;
    before.fill(&"old").await;
    assert_eq!(hit(&cache).await, None);
    // This reader has the new value, but cannot know that no other reader has the old one.
    empty_slot(&cache).await.fill(&"new").await;
    assert_eq!(hit(&cache).await, None);
    sleep(MAX_AGE + Duration::from_millis(10)).await;
    empty_slot(&cache).await.fill(&"new").await;
    assert_eq!(hit(&cache).await.as_deref(), Some("new"));
}

#[tokio::test]
async fn a_value_read_before_a_change_is_not_cached_after_the_tombstone_expired() {
    let cache = cache().await;
    let before = empty_slot(&cache).await;
    cache.invalidate(&alice(), &sha1()).await;
    sleep(MAX_AGE + Duration::from_millis(10)).await;
    let after = empty_slot(&cache).await;
    before.fill(&"old").await;
    assert_eq!(hit(&cache).await, None);
    after.fill(&"new").await;
    assert_eq!(hit(&cache).await.as_deref(), Some("new"));
}

#[tokio::test]
async fn a_second_change_renews_the_tombstone() {
    let cache = cache().await;
    cache.invalidate(&alice(), &sha1()).await;
    sleep(MAX_AGE.saturating_sub(Duration::from_millis(200))).await;
    let between = empty_slot(&cache).await;
    cache.invalidate(&alice(), &sha1()).await;
    sleep(Duration::from_millis(300)).await;
    // The first tombstone would have expired by now.
    between.fill(&"old").await;
    empty_slot(&cache).await.fill(&"old").await;
    assert_eq!(hit(&cache).await, None);
}

#[tokio::test]
async fn every_replica_sees_a_change_at_once() {
    let options = options(&url());
    let open = async || {
        let redis = Redis::open(&options).await.unwrap();
        EntryCache::new(redis, Duration::from_mins(10), 1)
    };
    let (here, there) = (open().await, open().await);
    empty_slot(&here).await.fill(&"old").await;
    assert_eq!(hit(&there).await.as_deref(), Some("old"));
    there.invalidate(&alice(), &sha1()).await;
    assert_eq!(hit(&here).await, None);
}

#[tokio::test]
async fn owners_formats_and_prefixes_are_separate() {
    let options = options(&url());
    let redis = Redis::open(&options).await.unwrap();
    let cache = EntryCache::new(redis.clone(), MAX_AGE, 1);
    empty_slot(&cache).await.fill(&"alice's").await;
    let others = [
        (cache.clone(), "alice2", sha1()),
        (cache.clone(), "Alice", sha1()),
        (cache.clone(), "alice", [0xac; 20].into()),
        // Another format.
        (EntryCache::new(redis, MAX_AGE, 11), "alice", sha1()),
    ];
    for (cache, owner, sha1) in others {
        let owner: Owner = owner.parse().unwrap();
        let found = cache.find::<String>(&owner, &sha1).await;
        assert!(matches!(found, Lookup::Miss(_)), "{owner}");
    }
    let other = Redis::open(&crate::common::options(&url())).await.unwrap();
    assert_eq!(hit(&EntryCache::new(other, MAX_AGE, 1)).await, None);
}

#[tokio::test]
async fn an_unreadable_value_is_a_miss() {
    let options = options(&url());
    let redis = Redis::open(&options).await.unwrap();
    let cache = EntryCache::new(redis, Duration::from_mins(1), 1);
    empty_slot(&cache).await.fill(&"old").await;
    let key = only_key(&options.prefix);
    // Valid JSON, but larger than the cache reads.
    let too_long = format!("\"{}\"", "9".repeat(100_000));
    for value in ["{", "17", "\"half", " ", &too_long] {
        let _: () = connection().set(&key, value).unwrap();
        empty_slot(&cache).await.fill(&"new").await;
        assert_eq!(hit(&cache).await, None, "{value:.9}");
    }
    cache.invalidate(&alice(), &sha1()).await;
    let _: () = connection().del(&key).unwrap();
    empty_slot(&cache).await.fill(&"new").await;
    assert_eq!(hit(&cache).await.as_deref(), Some("new"));
    let _: () = connection().del(&key).unwrap();
    let _: () = connection().rpush(&key, "a list").unwrap();
    empty_slot(&cache).await.fill(&"new").await;
    cache.invalidate(&alice(), &sha1()).await;
    let failures = cache.redis().counts().failures;
    assert_eq!(failures, 1, "only the list is a failure");
}

#[tokio::test]
async fn a_value_that_is_too_large_is_not_cached() {
    let cache = cache().await;
    empty_slot(&cache).await.fill(&"x".repeat(9000)).await;
    assert_eq!(hit(&cache).await, None);
    empty_slot(&cache).await.fill(&"x".repeat(8000)).await;
    assert!(hit(&cache).await.is_some());
    assert_eq!(cache.redis().counts(), counts(1, 3, 0));
}

#[tokio::test]
async fn the_documented_acl_is_sufficient() {
    let server = Server::start("hunter2");
    let mut options = options(&server.url());
    let mut acl = redis::cmd("ACL");
    acl.arg(&["SETUSER", "files", "on", ">hunter3"]);
    acl.arg(format!("~{}:*", options.prefix));
    let manual = include_str!("../../../docs/operating.md");
    let documented = manual.split_once("`~fileserver:* ").unwrap().1;
    acl.arg(
        documented
            .split_once('`')
            .unwrap()
            .0
            .split(' ')
            .collect::<Vec<_>>(),
    );
    let _: () = acl.query(&mut server.connection()).unwrap();
    options.url = server.url().replace(":hunter2", "files:hunter3") + "/1";
    let redis = Redis::open(&options).await.unwrap();
    let cache = EntryCache::new(redis.clone(), MAX_AGE, 1);
    empty_slot(&cache).await.fill(&"old").await;
    assert_eq!(hit(&cache).await.as_deref(), Some("old"));
    cache.invalidate(&alice(), &sha1()).await;
    assert_eq!(hit(&cache).await, None);
    let rate_limiter = RedisRateLimiter::new(redis.clone(), NonZeroU32::MIN);
    assert_eq!(rate_limiter.check(&alice()).await, Some(Ok(0)));
    assert_eq!(redis.counts().failures, 0);
}
