//! What the cache promises about the age of what it gives.

use std::{
    num::NonZeroU32,
    time::{Duration, Instant},
};

use crate::common::{
    AGE, Server, alice, connection, counts, entries, gap, hit, only_key, options, sha1, url,
};
use domain::Owner;
use fileserver_cache::{Found, HotEntries, Redis, SharedTurnover};
use redis::Commands as _;
use tokio::time::sleep;

#[tokio::test]
async fn an_entry_is_there_for_its_age_and_no_longer() {
    let entries = entries().await;
    let begun = Instant::now();
    gap(&entries).await.fill(&"old").await;
    assert_eq!(hit(&entries).await.as_deref(), Some("old"));
    while hit(&entries).await.is_some() {
        assert!(begun.elapsed() < AGE + Duration::from_secs(1));
        sleep(Duration::from_millis(5)).await;
    }
    let counted = entries.redis().counts();
    assert_eq!((counted.misses, counted.failures), (2, 0));
    assert!(counted.hits > 0);
}

#[tokio::test]
async fn the_age_begins_before_the_database_is_read() {
    let entries = entries().await;
    let found = gap(&entries).await;
    // So long does the database take.
    sleep(AGE.saturating_sub(Duration::from_millis(300))).await;
    found.fill(&"old").await;
    sleep(Duration::from_millis(310)).await;
    assert_eq!(hit(&entries).await, None);
    // What comes after its end never begins.
    let found = gap(&entries).await;
    sleep(AGE + Duration::from_millis(10)).await;
    found.fill(&"old").await;
    assert_eq!(hit(&entries).await, None);
}

#[tokio::test]
async fn who_read_before_a_change_never_puts_it_back() {
    let entries = entries().await;
    let before = gap(&entries).await;
    entries.forget(&alice(), &sha1()).await;
    before.fill(&"old").await;
    assert_eq!(hit(&entries).await, None);
    // Who reads after it has the new one, but does not know that nobody else has an old one.
    gap(&entries).await.fill(&"new").await;
    assert_eq!(hit(&entries).await, None);
    sleep(AGE + Duration::from_millis(10)).await;
    gap(&entries).await.fill(&"new").await;
    assert_eq!(hit(&entries).await.as_deref(), Some("new"));
}

#[tokio::test]
async fn who_read_before_a_change_and_is_later_than_its_tombstone_puts_nothing() {
    let entries = entries().await;
    let before = gap(&entries).await;
    entries.forget(&alice(), &sha1()).await;
    sleep(AGE + Duration::from_millis(10)).await;
    let after = gap(&entries).await;
    before.fill(&"old").await;
    assert_eq!(hit(&entries).await, None);
    after.fill(&"new").await;
    assert_eq!(hit(&entries).await.as_deref(), Some("new"));
}

#[tokio::test]
async fn two_changes_in_a_row_are_two_changes() {
    let entries = entries().await;
    entries.forget(&alice(), &sha1()).await;
    sleep(AGE.saturating_sub(Duration::from_millis(200))).await;
    let between = gap(&entries).await;
    entries.forget(&alice(), &sha1()).await;
    sleep(Duration::from_millis(300)).await;
    // The first tombstone would be over.
    between.fill(&"old").await;
    gap(&entries).await.fill(&"old").await;
    assert_eq!(hit(&entries).await, None);
}

#[tokio::test]
async fn every_replica_sees_a_change_at_once() {
    let options = options(&url());
    let open = async || {
        let redis = Redis::open(&options).await.unwrap();
        HotEntries::new(redis, Duration::from_mins(10), 1)
    };
    let (here, there) = (open().await, open().await);
    gap(&here).await.fill(&"old").await;
    assert_eq!(hit(&there).await.as_deref(), Some("old"));
    there.forget(&alice(), &sha1()).await;
    assert_eq!(hit(&here).await, None);
}

#[tokio::test]
async fn nobody_sees_anothers_entry() {
    let options = options(&url());
    let redis = Redis::open(&options).await.unwrap();
    let entries = HotEntries::new(redis.clone(), AGE, 1);
    gap(&entries).await.fill(&"alice's").await;
    let others = [
        (entries.clone(), "alice2", sha1()),
        (entries.clone(), "Alice", sha1()),
        (entries.clone(), "alice", [0xac; 20].into()),
        // One that writes another format.
        (HotEntries::new(redis, AGE, 11), "alice", sha1()),
    ];
    for (entries, owner, sha1) in others {
        let owner: Owner = owner.parse().unwrap();
        let found = entries.find::<String>(&owner, &sha1).await;
        assert!(matches!(found, Found::Miss(_)), "{owner}");
    }
    let other = Redis::open(&crate::common::options(&url())).await.unwrap();
    assert_eq!(hit(&HotEntries::new(other, AGE, 1)).await, None);
}

#[tokio::test]
async fn what_cannot_be_read_is_a_miss() {
    let options = options(&url());
    let redis = Redis::open(&options).await.unwrap();
    let entries = HotEntries::new(redis, Duration::from_mins(1), 1);
    gap(&entries).await.fill(&"old").await;
    let key = only_key(&options.prefix);
    // It could be read if it were taken in.
    let too_long = format!("\"{}\"", "9".repeat(100_000));
    for nonsense in ["{", "17", "\"half", " ", &too_long] {
        let _: () = connection().set(&key, nonsense).unwrap();
        gap(&entries).await.fill(&"new").await;
        assert_eq!(hit(&entries).await, None, "{nonsense:.9}");
    }
    entries.forget(&alice(), &sha1()).await;
    let _: () = connection().del(&key).unwrap();
    gap(&entries).await.fill(&"new").await;
    assert_eq!(hit(&entries).await.as_deref(), Some("new"));
    let _: () = connection().del(&key).unwrap();
    let _: () = connection().rpush(&key, "a list").unwrap();
    gap(&entries).await.fill(&"new").await;
    entries.forget(&alice(), &sha1()).await;
    let failures = entries.redis().counts().failures;
    assert_eq!(failures, 1, "only the list could not be read");
}

#[tokio::test]
async fn what_is_too_large_is_not_kept() {
    let entries = entries().await;
    gap(&entries).await.fill(&"x".repeat(9000)).await;
    assert_eq!(hit(&entries).await, None);
    gap(&entries).await.fill(&"x".repeat(8000)).await;
    assert!(hit(&entries).await.is_some());
    assert_eq!(entries.redis().counts(), counts(1, 3, 0));
}

#[tokio::test]
async fn the_rights_that_the_manual_names_are_enough() {
    let server = Server::start("hunter2");
    let mut options = options(&server.url());
    let mut rights = redis::cmd("ACL");
    rights.arg(&["SETUSER", "files", "on", ">hunter3"]);
    rights.arg(format!("~{}:*", options.prefix));
    let manual = include_str!("../../../docs/operating.md");
    let named = manual.split_once("`~fileserver:* ").unwrap().1;
    rights.arg(
        named
            .split_once('`')
            .unwrap()
            .0
            .split(' ')
            .collect::<Vec<_>>(),
    );
    let _: () = rights.query(&mut server.connection()).unwrap();
    options.url = server.url().replace(":hunter2", "files:hunter3") + "/1";
    let redis = Redis::open(&options).await.unwrap();
    let entries = HotEntries::new(redis.clone(), AGE, 1);
    gap(&entries).await.fill(&"old").await;
    assert_eq!(hit(&entries).await.as_deref(), Some("old"));
    entries.forget(&alice(), &sha1()).await;
    assert_eq!(hit(&entries).await, None);
    let turnover = SharedTurnover::new(redis.clone(), NonZeroU32::MIN);
    assert_eq!(turnover.take(&alice()).await, Some(Ok(0)));
    assert_eq!(redis.counts().failures, 0);
}
