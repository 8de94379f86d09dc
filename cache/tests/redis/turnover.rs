//! How many requests replicas let pass together.

use std::{
    num::NonZeroU32,
    time::{Duration, Instant},
};

use crate::common::{alice, connection, only_key, options, url};
use fileserver_cache::{Redis, SharedTurnover};
use redis::Commands as _;
use tokio::time::sleep;

async fn replicas(per_second: u32) -> (SharedTurnover, SharedTurnover, String) {
    let options = options(&url());
    let open = async || {
        let redis = Redis::open(&options).await.unwrap();
        SharedTurnover::new(redis, NonZeroU32::new(per_second).unwrap())
    };
    (open().await, open().await, options.prefix.clone())
}

#[tokio::test]
async fn replicas_count_together() {
    let (here, there, _) = replicas(1).await;
    let bob = "bob".parse().unwrap();
    let begun = Instant::now();
    assert_eq!(here.take(&alice()).await, Some(Ok(0)));
    let refused = there.take(&alice()).await.unwrap().unwrap_err();
    assert!(refused <= Duration::from_secs(1), "{refused:?}");
    assert!(refused + begun.elapsed() >= Duration::from_millis(999));
    assert_eq!(there.take(&bob).await, Some(Ok(0)));
    sleep(refused).await;
    assert_eq!(there.take(&alice()).await, Some(Ok(0)));
    assert!(here.take(&alice()).await.unwrap().is_err());
}

#[tokio::test]
async fn what_is_left_is_told_exactly() {
    for per_second in [1_u32, 2, 3, 7, 10] {
        let (here, there, _) = replicas(per_second).await;
        let begun = Instant::now();
        let mut left = Vec::new();
        for turn in 0..per_second {
            let replica = if turn % 2 == 0 { &here } else { &there };
            left.push(replica.take(&alice()).await.unwrap());
        }
        if begun.elapsed() < Duration::from_secs(1) / per_second {
            let expected: Vec<_> = (0..per_second).rev().map(Ok).collect();
            assert_eq!(left, expected);
        }
    }
}

#[tokio::test]
async fn so_many_pass_in_the_long_run() {
    let (here, there, _) = replicas(50).await;
    let begun = Instant::now();
    let mut passed = 0_u32;
    while begun.elapsed() < Duration::from_secs(2) {
        for replica in [&here, &there] {
            passed += u32::from(replica.take(&alice()).await.unwrap().is_ok());
        }
        sleep(Duration::from_millis(2)).await;
    }
    let most = 50.0 * (1.0 + begun.elapsed().as_secs_f64());
    assert!(f64::from(passed) <= most + 1.0, "{passed} of {most}");
    assert!(f64::from(passed) >= most * 0.8, "{passed} of {most}");
}

#[tokio::test]
async fn counts_go_by_themselves_and_a_clock_that_was_set_back_blocks_nobody() {
    let (here, _, prefix) = replicas(2).await;
    assert_eq!(here.take(&alice()).await, Some(Ok(1)));
    let key = only_key(&prefix);
    let stays: i64 = connection().pttl(&key).unwrap();
    assert!((1..=500).contains(&stays), "{stays}");
    // As if it had been written in an hour.
    let (now, _): (u64, u64) = redis::cmd("TIME").query(&mut connection()).unwrap();
    let later = (now + 3600) * 1_000_000;
    let _: () = connection().set(&key, later).unwrap();
    let wait = here.take(&alice()).await.unwrap().unwrap_err();
    assert!(wait <= Duration::from_secs(1), "{wait:?}");
    let _: () = connection().set(&key, "nonsense").unwrap();
    assert_eq!(here.take(&alice()).await, Some(Ok(1)));
}
