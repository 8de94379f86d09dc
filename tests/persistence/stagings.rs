//! The staged bytes of uploads in stores other than a local disk.

use futures_util::future::join_all;
use harness::TestDatabase;
use persistence::{Advance, Database, Segment, Staging};

use crate::{on_every_database, some_id};

on_every_database! {
    an_upload_continues_epoch_by_epoch,
    an_old_epoch_changes_nothing,
    concurrent_takeovers_get_different_epochs,
    bytes_and_segments_are_read_consistently,
    a_removed_staging_leaves_nothing_behind,
}

async fn an_upload_continues_epoch_by_epoch(database: &Database, _: &TestDatabase) {
    let (stagings, id) = (database.stagings(), some_id());
    assert_eq!(stagings.find(id).await.unwrap(), None);
    assert_eq!(stagings.find_bytes(id).await.unwrap(), None);
    assert_eq!(stagings.current_epoch(id).await.unwrap(), None);

    let started = stagings.take_over(id, "ceph").await.unwrap();
    let nothing = Staging {
        store: "ceph".to_owned(),
        bytes: 0,
        epoch: 1,
        hash_state: None,
        segments: Vec::new(),
    };
    assert_eq!(started, nothing);
    // In any order, as the segments were completed.
    let first = Advance {
        bytes: 12,
        hash_state: (0..=u8::MAX).chain(0..=u8::MAX).collect(),
        added: vec![segment(8, 4), segment(0, 8)],
        removed: Vec::new(),
    };
    assert!(stagings.advance(id, 1, &first).await.unwrap());
    assert_eq!(stagings.find_bytes(id).await.unwrap(), Some(12));

    let continued = stagings.take_over(id, "another").await.unwrap();
    let first = Staging {
        bytes: 12,
        epoch: 2,
        hash_state: Some(first.hash_state),
        segments: vec![segment(0, 8), segment(8, 4)],
        ..nothing
    };
    assert_eq!(continued, first, "it stays in its store");
    assert_eq!(stagings.current_epoch(id).await.unwrap(), Some(2));
    // The last segment is replaced by a longer one.
    let second = Advance {
        bytes: 20,
        hash_state: vec![7],
        added: vec![segment(8, 12)],
        removed: vec![8],
    };
    assert!(stagings.advance(id, 2, &second).await.unwrap());
    let second = Staging {
        bytes: 20,
        hash_state: Some(vec![7]),
        segments: vec![segment(0, 8), segment(8, 12)],
        ..first
    };
    assert_eq!(stagings.find(id).await.unwrap(), Some(second.clone()));
    assert_eq!(stagings.segments(id).await.unwrap(), second.segments);
}

async fn an_old_epoch_changes_nothing(database: &Database, _: &TestDatabase) {
    let (stagings, id) = (database.stagings(), some_id());
    stagings.take_over(id, "ceph").await.unwrap();
    assert!(stagings.advance(id, 1, &to(8)).await.unwrap());
    stagings.take_over(id, "ceph").await.unwrap();
    let before = stagings.find(id).await.unwrap();
    let late = Advance {
        removed: vec![0],
        ..to(16)
    };
    assert!(!stagings.advance(id, 1, &late).await.unwrap());
    assert_eq!(stagings.find(id).await.unwrap(), before);

    stagings.remove(id).await.unwrap();
    assert!(!stagings.advance(id, 2, &late).await.unwrap());
    assert_eq!(stagings.find(id).await.unwrap(), None);
    assert_eq!(stagings.segments(id).await.unwrap(), []);
}

async fn concurrent_takeovers_get_different_epochs(database: &Database, _: &TestDatabase) {
    let (stagings, id) = (database.stagings(), some_id());
    let taken = join_all((0..16).map(|_| stagings.take_over(id, "ceph"))).await;
    let mut epochs: Vec<i64> = taken
        .into_iter()
        .map(|taken| taken.unwrap().epoch)
        .collect();
    epochs.sort_unstable();
    assert_eq!(epochs, (1..=16).collect::<Vec<_>>());
    // All requests append concurrently; only the one with the last epoch may.
    let all = join_all((1..=16).map(|epoch| async move {
        let advance = to(u64::try_from(epoch).unwrap());
        stagings.advance(id, epoch, &advance).await.unwrap()
    }));
    let succeeded: Vec<bool> = all.await;
    assert_eq!(succeeded.iter().filter(|done| **done).count(), 1);
    assert_eq!(stagings.find_bytes(id).await.unwrap(), Some(16));
}

async fn bytes_and_segments_are_read_consistently(database: &Database, _: &TestDatabase) {
    let (stagings, id) = (database.stagings(), some_id());
    stagings.take_over(id, "ceph").await.unwrap();
    let adding = async {
        for number in 0..30 {
            let advance = Advance {
                bytes: (number + 1) * 4,
                hash_state: vec![1],
                added: vec![segment(number * 4, 4)],
                removed: Vec::new(),
            };
            assert!(stagings.advance(id, 1, &advance).await.unwrap());
        }
    };
    let reading = async {
        for _ in 0..60 {
            let found = stagings.find(id).await.unwrap().unwrap();
            let bytes: u64 = found.segments.iter().map(|segment| segment.size).sum();
            assert_eq!(found.bytes, bytes);
        }
    };
    tokio::join!(adding, reading);
}

async fn a_removed_staging_leaves_nothing_behind(database: &Database, _: &TestDatabase) {
    let stagings = database.stagings();
    let mut ids: Vec<_> = (0..5).map(|_| some_id()).collect();
    ids.sort_unstable();
    for id in &ids {
        stagings.take_over(*id, "ceph").await.unwrap();
        assert!(stagings.advance(*id, 1, &to(8)).await.unwrap());
    }
    let page = stagings.list(None, 3).await.unwrap();
    assert_eq!(page, ids[..3]);
    let page = stagings.list(page.last().copied(), 3).await.unwrap();
    assert_eq!(page, ids[3..]);

    stagings.remove(ids[0]).await.unwrap();
    stagings.remove(ids[0]).await.unwrap();
    assert_eq!(stagings.list(None, 9).await.unwrap(), ids[1..]);
    assert_eq!(stagings.segments(ids[0]).await.unwrap(), []);
    assert_eq!(stagings.segments(ids[1]).await.unwrap().len(), 1);
    let again = stagings.take_over(ids[0], "oss").await.unwrap();
    assert_eq!((again.epoch, again.segments), (1, Vec::new()));
}

/// The progress of an upload with `bytes` bytes staged in one segment.
fn to(bytes: u64) -> Advance {
    Advance {
        bytes,
        hash_state: vec![1, 2],
        added: vec![segment(0, bytes)],
        removed: Vec::new(),
    }
}

fn segment(start: u64, size: u64) -> Segment {
    Segment {
        start,
        size,
        key: format!("parts/{start}-{size}"),
    }
}
