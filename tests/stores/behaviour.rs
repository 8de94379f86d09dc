//! The behaviour of every store for contents that arrive in one request.

use std::collections::BTreeSet;

use domain::{ByteRange, possession};
use futures_util::future::join_all;
use harness::{digests, random};
use storage::{Error, Store};

use crate::{
    collect, fixture::TestStore, on_every_store, persist, range, read, read_whole, stage,
    write_object,
};

on_every_store! {
    contents_of_any_size_are_read_back_unchanged,
    any_range_can_be_read,
    one_object_can_be_read_several_times_at_once,
    an_object_does_not_exist_before_it_is_persisted,
    a_dropped_writer_leaves_nothing,
    a_discarded_object_leaves_nothing,
    each_copy_has_a_key_of_its_own,
    a_removed_object_is_missing,
    a_wrong_size_is_noticed,
    ranges_are_read_from_the_object_or_a_decoy,
    concurrent_contents_do_not_mix,
    a_working_store_passes_its_self_test,
}

/// Bytes that are hashed and written at a time.
const BATCH: usize = 512 * 1024;

async fn contents_of_any_size_are_read_back_unchanged(fixture: &TestStore) {
    let segment = fixture.segment_size();
    let mut sizes = vec![0, 1, 2, 1000, 40 << 20];
    for bound in [
        256 * 1024,
        BATCH,
        2 * BATCH,
        segment / 2,
        segment,
        2 * segment,
    ] {
        sizes.extend([bound - 1, bound, bound + 1]);
    }
    let mut keys = BTreeSet::new();
    for size in sizes {
        let bytes = random(size);
        let staged = stage(&fixture.store, &bytes).await.unwrap();
        assert_eq!(staged.content, digests(&bytes), "{size} bytes");
        let (address, needs_record) = staged.address();
        assert_eq!(needs_record, fixture.store.as_bucket().is_some());
        let object = staged.persist().await.unwrap();
        assert_eq!(object.address(), address);
        assert_eq!(address.store, fixture.store.name());
        object.commit().await;
        let found = fixture.store.size(&address.key).await.unwrap();
        assert_eq!(found, Some(size as u64));
        let back = read_whole(&fixture.store, &address.key, size)
            .await
            .unwrap();
        assert!(back == bytes, "{size} bytes are read back unchanged");
        keys.insert(address.key);
    }
    assert_eq!(fixture.objects().await, keys);
}

async fn any_range_can_be_read(fixture: &TestStore) {
    let size = 3_000_001;
    let bytes = random(size);
    let key = write_object(&fixture.store, &bytes).await;
    let piece = 256 * 1024;
    let mut ranges = vec![
        range(0, size),
        range(0, 1),
        range(size - 1, size),
        range(1, size),
        range(0, size - 1),
        range(0, piece),
        range(0, piece + 1),
        range(piece - 1, piece + 1),
        range(piece, 2 * piece),
        range(12_345, 2_000_000),
        range(7, 7),
        range(0, 0),
        range(size, size),
    ];
    for _ in 0..20 {
        let (one, other) = (anywhere_in(size), anywhere_in(size));
        ranges.push(range(one.min(other), one.max(other)));
    }
    for wanted in ranges {
        let expected = &bytes[at(wanted.start)..at(wanted.end)];
        let object = fixture.store.open_object(&key, size as u64, wanted).await;
        let object = object.unwrap();
        assert_eq!(object.size(), size as u64);
        if let Some(ready) = object.ready(wanted) {
            assert!(ready == expected, "{wanted:?} is read unchanged");
        }
        let back = collect(object, wanted).await.unwrap();
        assert!(back == expected, "{wanted:?}");
    }
}

async fn one_object_can_be_read_several_times_at_once(fixture: &TestStore) {
    let bytes = random(2_000_000);
    let key = write_object(&fixture.store, &bytes).await;
    let whole = range(0, bytes.len());
    let object = fixture
        .store
        .open_object(&key, whole.end, whole)
        .await
        .unwrap();
    let other = range(700_000, 1_900_000);
    // A response with several ranges is read so, or one whose first bytes were inspected.
    let reads = [whole, whole, other, range(0, 100), whole].map(|wanted| {
        let object = object.clone();
        async move { (wanted, collect(object, wanted).await.unwrap()) }
    });
    for (wanted, back) in join_all(reads).await {
        assert!(
            back == bytes[at(wanted.start)..at(wanted.end)],
            "{wanted:?}"
        );
    }
}

async fn an_object_does_not_exist_before_it_is_persisted(fixture: &TestStore) {
    for size in [10, 3 * fixture.segment_size() + 1] {
        let bytes = random(size);
        let mut writer = fixture.store.writer(None);
        writer.write(&bytes).await.unwrap();
        assert_eq!(fixture.objects().await, BTreeSet::new());
        let staged = writer.finish().await.unwrap();
        let key = staged.address().0.key;
        assert_eq!(fixture.objects().await, BTreeSet::new());
        assert_eq!(fixture.store.size(&key).await.unwrap(), None);
        let early = read_whole(&fixture.store, &key, size).await;
        assert!(matches!(early, Err(Error::Missing(_))), "{early:?}");

        let object = staged.persist().await.unwrap();
        assert_eq!(fixture.objects().await, BTreeSet::from([key.clone()]));
        assert!(read_whole(&fixture.store, &key, size).await.unwrap() == bytes);
        object.discard().await.unwrap();
    }
}

async fn a_dropped_writer_leaves_nothing(fixture: &TestStore) {
    for size in [0, 10, BATCH + 1, 3 * fixture.segment_size() + 1] {
        let bytes = random(size);
        let mut writer = fixture.store.writer(None);
        writer.write(&bytes).await.unwrap();
        drop(writer);
        drop(stage(&fixture.store, &bytes).await.unwrap());
    }
    fixture.wait_until_empty().await;
}

async fn a_discarded_object_leaves_nothing(fixture: &TestStore) {
    for size in [0, 10, 3 * fixture.segment_size() + 1] {
        let object = persist(&fixture.store, &random(size)).await.unwrap();
        object.discard().await.unwrap();
    }
    fixture.wait_until_empty().await;
}

async fn each_copy_has_a_key_of_its_own(fixture: &TestStore) {
    for size in [5, 2_000_000] {
        let bytes = random(size);
        let mut keys = BTreeSet::new();
        for _ in 0..5 {
            assert!(keys.insert(write_object(&fixture.store, &bytes).await));
        }
        assert_eq!(fixture.objects().await, keys);
        let kept = keys.pop_last().unwrap();
        for key in keys {
            fixture.store.remove(&key).await.unwrap();
            assert_eq!(fixture.store.size(&key).await.unwrap(), None);
        }
        // The last copy is independent of the others.
        assert!(read_whole(&fixture.store, &kept, size).await.unwrap() == bytes);
        fixture.store.remove(&kept).await.unwrap();
    }
}

async fn a_removed_object_is_missing(fixture: &TestStore) {
    let size = 100_000;
    let key = write_object(&fixture.store, &random(size)).await;
    let remove = async || fixture.store.remove(&key).await;
    remove().await.unwrap();
    remove()
        .await
        .expect("it is no error to remove an object twice");

    assert_eq!(fixture.store.size(&key).await.unwrap(), None);
    for wanted in [range(0, size), range(5, 10), range(0, 0)] {
        let read = read(&fixture.store, &key, size as u64, wanted).await;
        let is_missing = matches!(&read, Err(Error::Missing(missing)) if *missing == key);
        assert!(is_missing, "{wanted:?}: {read:?}");
    }
    let ranges = vec![range(0, size)];
    let read = fixture
        .store
        .read_ranges(Some(&key), size as u64, ranges)
        .await;
    assert!(matches!(read, Err(Error::Missing(_))), "{read:?}");
}

async fn a_wrong_size_is_noticed(fixture: &TestStore) {
    let size = 300_000;
    let key = write_object(&fixture.store, &random(size)).await;
    let key = key.as_str();
    for size_given in [0, size - 1, size + 1, 10 * size] {
        let size_given = size_given as u64;
        let ranges = vec![range(0, 1)];
        let read = fixture
            .store
            .read_ranges(Some(key), size_given, ranges)
            .await;
        assert_wrong(read, size_given);
        if size_given == 0 || fixture.store.as_disk().is_some() {
            let opened = fixture
                .store
                .open_object(key, size_given, ByteRange::whole(0))
                .await;
            assert_wrong(opened.map(drop), size_given);
        }
    }
    // A bucket notices a wrong size only at the end: no request asks for the size before a read.
    for size_given in [size + 1, 10 * size] {
        for wanted in [
            range(0, size_given),
            range(size - 10, size_given),
            range(size_given - 1, size_given),
        ] {
            let back = read(&fixture.store, key, size_given as u64, wanted).await;
            let error = back.expect_err("bytes beyond the end cannot be read");
            assert!(!matches!(error, Error::Missing(_)), "{wanted:?}: {error:?}");
        }
    }
}

#[track_caller]
fn assert_wrong<T: std::fmt::Debug>(outcome: storage::Result<T>, size_given: u64) {
    match outcome {
        Err(Error::WrongSize {
            expected, found, ..
        }) => assert_eq!((expected, found), (size_given, 300_000)),
        other => panic!("{other:?}"),
    }
}

async fn ranges_are_read_from_the_object_or_a_decoy(fixture: &TestStore) {
    for size in [0, 1, 4096, 256 * 1024, 256 * 1024 + 1, 3_000_000] {
        let bytes = random(size);
        let key = write_object(&fixture.store, &bytes).await;
        let nonce: [u8; 32] = random(32).try_into().unwrap();
        let ranges = possession::ranges(&nonce.into(), size as u64);
        let expected: Vec<u8> = ranges
            .iter()
            .flat_map(|range| &bytes[at(range.start)..at(range.end)])
            .copied()
            .collect();
        let read = fixture
            .store
            .read_ranges(Some(&key), size as u64, ranges.clone());
        assert!(read.await.unwrap() == expected, "{size} bytes");
        let decoy = fixture
            .store
            .read_ranges(None, size as u64, ranges)
            .await
            .unwrap();
        assert_eq!(decoy.len(), expected.len());
    }
    assert_eq!(fixture.objects().await.len(), 6, "the decoy is not listed");
}

async fn concurrent_contents_do_not_mix(fixture: &TestStore) {
    let sizes = [
        1,
        5000,
        BATCH,
        BATCH + 1,
        1_500_000,
        2_500_000,
        6_000_000,
        0,
    ];
    let keeps = sizes.map(|size| async move {
        let bytes = random(size);
        (write_object(&fixture.store, &bytes).await, bytes)
    });
    let kept = join_all(keeps).await;
    let reads = kept.iter().map(|(key, bytes)| async {
        let back = read_whole(&fixture.store, key, bytes.len()).await.unwrap();
        assert!(back == *bytes, "{} bytes", bytes.len());
    });
    join_all(reads).await;
    let keys: BTreeSet<String> = kept.into_iter().map(|(key, _)| key).collect();
    assert_eq!(fixture.objects().await, keys);
}

async fn a_working_store_passes_its_self_test(fixture: &TestStore) {
    fixture.store.probe().await.unwrap();
    fixture.store.self_test().await.unwrap();
    fixture.wait_until_empty().await;
    let is_disk = matches!(fixture.store, Store::Disk(_));
    assert_eq!(fixture.store.marks_uncommitted(), is_disk);
    assert!(fixture.store.pending().await.unwrap().is_empty());
}

fn at(position: u64) -> usize {
    usize::try_from(position).unwrap()
}

fn anywhere_in(size: usize) -> usize {
    let dice = u64::from_ne_bytes(random(8).try_into().unwrap());
    at(dice % (size as u64 + 1))
}
