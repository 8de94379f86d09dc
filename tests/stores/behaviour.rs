//! What every store promises of contents that come in one go.

use std::collections::BTreeSet;

use domain::{ByteRange, possession};
use futures_util::future::join_all;
use harness::{digests, random};
use storage::{Error, Store};

use crate::{collect, home::Home, keep, on_every_store, place, range, read, read_whole, receive};

on_every_store! {
    contents_of_any_size_come_back_whole,
    any_range_can_be_read,
    one_object_can_be_read_from_more_than_once,
    nothing_is_there_before_it_is_placed,
    what_is_dropped_leaves_nothing,
    what_is_discarded_leaves_nothing,
    each_copy_has_a_key_of_its_own,
    what_is_not_there_is_missing,
    another_size_than_was_written_is_noticed,
    spans_are_those_of_the_content_or_as_many_of_a_decoy,
    contents_that_come_at_once_do_not_mix,
    a_store_that_works_can_be_tried_out,
}

/// What is written, and hashed, at a time.
const BATCH: usize = 512 * 1024;

async fn contents_of_any_size_come_back_whole(home: &Home) {
    let segment = home.segment_size();
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
        let received = receive(&home.store, &bytes).await.unwrap();
        assert_eq!(received.content, digests(&bytes), "{size} bytes");
        let (address, is_to_be_recorded) = received.address();
        assert_eq!(is_to_be_recorded, home.store.as_bucket().is_some());
        let placed = received.place().await.unwrap();
        assert_eq!(placed.address(), address);
        assert_eq!(address.store, home.store.name());
        placed.keep().await;
        let found = home.store.size(&address.key).await.unwrap();
        assert_eq!(found, Some(size as u64));
        let back = read_whole(&home.store, &address.key, size).await.unwrap();
        assert!(back == bytes, "{size} bytes come back as they were");
        keys.insert(address.key);
    }
    assert_eq!(home.objects().await, keys);
}

async fn any_range_can_be_read(home: &Home) {
    let size = 3_000_001;
    let bytes = random(size);
    let key = keep(&home.store, &bytes).await;
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
        let object = home.store.open_object(&key, size as u64, wanted).await;
        let object = object.unwrap();
        assert_eq!(object.size(), size as u64);
        if let Some(ready) = object.ready(wanted) {
            assert!(ready == expected, "{wanted:?} is there as it is");
        }
        let back = collect(object, wanted).await.unwrap();
        assert!(back == expected, "{wanted:?}");
    }
}

async fn one_object_can_be_read_from_more_than_once(home: &Home) {
    let bytes = random(2_000_000);
    let key = keep(&home.store, &bytes).await;
    let whole = range(0, bytes.len());
    let object = home
        .store
        .open_object(&key, whole.end, whole)
        .await
        .unwrap();
    let other = range(700_000, 1_900_000);
    // As an answer of several ranges is made, or one of which the beginning was looked at.
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

async fn nothing_is_there_before_it_is_placed(home: &Home) {
    for size in [10, 3 * home.segment_size() + 1] {
        let bytes = random(size);
        let mut incoming = home.store.receive();
        incoming.write(&bytes).await.unwrap();
        assert_eq!(home.objects().await, BTreeSet::new());
        let received = incoming.finish().await.unwrap();
        let key = received.address().0.key;
        assert_eq!(home.objects().await, BTreeSet::new());
        assert_eq!(home.store.size(&key).await.unwrap(), None);
        let early = read_whole(&home.store, &key, size).await;
        assert!(matches!(early, Err(Error::Missing(_))), "{early:?}");

        let placed = received.place().await.unwrap();
        assert_eq!(home.objects().await, BTreeSet::from([key.clone()]));
        assert!(read_whole(&home.store, &key, size).await.unwrap() == bytes);
        placed.discard().await.unwrap();
    }
}

async fn what_is_dropped_leaves_nothing(home: &Home) {
    for size in [0, 10, BATCH + 1, 3 * home.segment_size() + 1] {
        let bytes = random(size);
        let mut incoming = home.store.receive();
        incoming.write(&bytes).await.unwrap();
        drop(incoming);
        drop(receive(&home.store, &bytes).await.unwrap());
    }
    home.becomes_bare().await;
}

async fn what_is_discarded_leaves_nothing(home: &Home) {
    for size in [0, 10, 3 * home.segment_size() + 1] {
        let placed = place(&home.store, &random(size)).await.unwrap();
        placed.discard().await.unwrap();
    }
    home.becomes_bare().await;
}

async fn each_copy_has_a_key_of_its_own(home: &Home) {
    for size in [5, 2_000_000] {
        let bytes = random(size);
        let mut keys = BTreeSet::new();
        for _ in 0..5 {
            assert!(keys.insert(keep(&home.store, &bytes).await));
        }
        assert_eq!(home.objects().await, keys);
        let kept = keys.pop_last().unwrap();
        for key in keys {
            home.store.remove(&key).await.unwrap();
            assert_eq!(home.store.size(&key).await.unwrap(), None);
        }
        // The others were no part of it.
        assert!(read_whole(&home.store, &kept, size).await.unwrap() == bytes);
        home.store.remove(&kept).await.unwrap();
    }
}

async fn what_is_not_there_is_missing(home: &Home) {
    let size = 100_000;
    let key = keep(&home.store, &random(size)).await;
    let remove = async || home.store.remove(&key).await;
    remove().await.unwrap();
    remove()
        .await
        .expect("what is removed already is no failure");

    assert_eq!(home.store.size(&key).await.unwrap(), None);
    for wanted in [range(0, size), range(5, 10), range(0, 0)] {
        let read = read(&home.store, &key, size as u64, wanted).await;
        let is_named = matches!(&read, Err(Error::Missing(named)) if *named == key);
        assert!(is_named, "{wanted:?}: {read:?}");
    }
    let spans = vec![range(0, size)];
    let sample = home.store.sample(Some(&key), size as u64, spans).await;
    assert!(matches!(sample, Err(Error::Missing(_))), "{sample:?}");
}

async fn another_size_than_was_written_is_noticed(home: &Home) {
    let size = 300_000;
    let key = keep(&home.store, &random(size)).await;
    let key = key.as_str();
    for said in [0, size - 1, size + 1, 10 * size] {
        let said = said as u64;
        let spans = vec![range(0, 1)];
        let sample = home.store.sample(Some(key), said, spans).await;
        assert_wrong(sample, said);
        if said == 0 || home.store.as_disk().is_some() {
            let opened = home.store.open_object(key, said, ByteRange::whole(0)).await;
            assert_wrong(opened.map(drop), said);
        }
    }
    // A bucket, which is not asked how large an object is before it is read, says so at its end.
    for said in [size + 1, 10 * size] {
        for wanted in [
            range(0, said),
            range(size - 10, said),
            range(said - 1, said),
        ] {
            let back = read(&home.store, key, said as u64, wanted).await;
            let error = back.expect_err("bytes that are not there cannot be read");
            assert!(!matches!(error, Error::Missing(_)), "{wanted:?}: {error:?}");
        }
    }
}

#[track_caller]
fn assert_wrong<T: std::fmt::Debug>(outcome: storage::Result<T>, said: u64) {
    match outcome {
        Err(Error::WrongSize {
            expected, found, ..
        }) => assert_eq!((expected, found), (said, 300_000)),
        other => panic!("{other:?}"),
    }
}

async fn spans_are_those_of_the_content_or_as_many_of_a_decoy(home: &Home) {
    for size in [0, 1, 4096, 256 * 1024, 256 * 1024 + 1, 3_000_000] {
        let bytes = random(size);
        let key = keep(&home.store, &bytes).await;
        let nonce: [u8; 32] = random(32).try_into().unwrap();
        let spans = possession::ranges(&nonce.into(), size as u64);
        let expected: Vec<u8> = spans
            .iter()
            .flat_map(|span| &bytes[at(span.start)..at(span.end)])
            .copied()
            .collect();
        let sample = home.store.sample(Some(&key), size as u64, spans.clone());
        assert!(sample.await.unwrap() == expected, "{size} bytes");
        let decoy = home.store.sample(None, size as u64, spans).await.unwrap();
        assert_eq!(decoy.len(), expected.len());
    }
    assert_eq!(home.objects().await.len(), 6, "the decoy is no object");
}

async fn contents_that_come_at_once_do_not_mix(home: &Home) {
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
        (keep(&home.store, &bytes).await, bytes)
    });
    let kept = join_all(keeps).await;
    let reads = kept.iter().map(|(key, bytes)| async {
        let back = read_whole(&home.store, key, bytes.len()).await.unwrap();
        assert!(back == *bytes, "{} bytes", bytes.len());
    });
    join_all(reads).await;
    let keys: BTreeSet<String> = kept.into_iter().map(|(key, _)| key).collect();
    assert_eq!(home.objects().await, keys);
}

async fn a_store_that_works_can_be_tried_out(home: &Home) {
    home.store.probe().await.unwrap();
    home.store.try_out().await.unwrap();
    home.becomes_bare().await;
    let is_disk = matches!(home.store, Store::Disk(_));
    assert_eq!(home.store.keeps_marks(), is_disk);
    assert!(home.store.pending().await.unwrap().is_empty());
}

fn at(position: u64) -> usize {
    usize::try_from(position).unwrap()
}

fn anywhere_in(size: usize) -> usize {
    let dice = u64::from_ne_bytes(random(8).try_into().unwrap());
    at(dice % (size as u64 + 1))
}
