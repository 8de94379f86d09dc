//! The rate limit that replicas share.

use std::{
    num::NonZeroU32,
    time::{Duration, Instant},
};

use crate::common::{alice, connection, only_key, options, url};
use fileserver_cache::{Redis, RedisRateLimiter};
use redis::Commands as _;
use tokio::time::sleep;

async fn replicas(per_second: u32) -> (RedisRateLimiter, RedisRateLimiter, String) {
    let options = options(&url());
    let open = async || {
        let redis = Redis::open(&options).await.unwrap();
        RedisRateLimiter::new(redis, NonZeroU32::new(per_second).unwrap())
    };
    (open().await, open().await, options.prefix.clone())
}

#[tokio::test]
async fn replicas_share_the_limit() {
    let (here, there, _) = replicas(1).await;
    let bob = "bob".parse().unwrap();
    let begun = Instant::now();
    assert_eq!(here.check(&alice()).await, Some(Ok(0)));
    let refused = there.check(&alice()).await.unwrap().unwrap_err();
    assert!(refused <= Duration::from_secs(1), "{refused:?}");
    assert!(refused + begun.elapsed() >= Duration::from_millis(999));
    assert_eq!(there.check(&bob).await, Some(Ok(0)));
    sleep(refused).await;
    assert_eq!(there.check(&alice()).await, Some(Ok(0)));
    assert!(here.check(&alice()).await.unwrap().is_err());
}

#[tokio::test]
async fn the_remaining_requests_are_exact() {
    for per_second in [1_u32, 2, 3, 7, 10] {
        let (here, there, _) = replicas(per_second).await;
        let begun = Instant::now();
        let mut left = Vec::new();
        for request in 0..per_second {
            let replica = if request % 2 == 0 { &here } else { &there };
            left.push(replica.check(&alice()).await.unwrap());
        }
        if begun.elapsed() < Duration::from_secs(1) / per_second {
            let expected: Vec<_> = (0..per_second).rev().map(Ok).collect();
            assert_eq!(left, expected);
        }
    }
}

#[tokio::test]
async fn the_rate_holds_over_time() {
    let (here, there, _) = replicas(50).await;
    let begun = Instant::now();
    let mut allowed = 0_u32;
    while begun.elapsed() < Duration::from_secs(2) {
        for replica in [&here, &there] {
            allowed += u32::from(replica.check(&alice()).await.unwrap().is_ok());
        }
        sleep(Duration::from_millis(2)).await;
    }
    let limit = 50.0 * (1.0 + begun.elapsed().as_secs_f64());
    assert!(f64::from(allowed) <= limit + 1.0, "{allowed} of {limit}");
    assert!(f64::from(allowed) >= limit * 0.8, "{allowed} of {limit}");
}

#[tokio::test]
async fn keys_expire_and_a_clock_that_was_set_back_blocks_no_owner() {
    let (here, _, prefix) = replicas(2).await;
    assert_eq!(here.check(&alice()).await, Some(Ok(1)));
    let key = only_key(&prefix);
    let expires_in: i64 = connection().pttl(&key).unwrap();
    assert!((1..=500).contains(&expires_in), "{expires_in}");
    // A value that was written an hour in the future.
    let (now, _): (u64, u64) = redis::cmd("TIME").query(&mut connection()).unwrap();
    let later = (now + 3600) * 1_000_000;
    let _: () = connection().set(&key, later).unwrap();
    let wait = here.check(&alice()).await.unwrap().unwrap_err();
    assert!(wait <= Duration::from_secs(1), "{wait:?}");
    let _: () = connection().set(&key, "no number").unwrap();
    assert_eq!(here.check(&alice()).await, Some(Ok(1)));
}
