//! What every store promises of contents that come in many requests.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use harness::{digests, random};
use storage::{Appending, End, Kept};

use crate::{book::Upload, home::Home, on_every_store, read_whole, sha1};

on_every_store! {
    an_upload_that_is_broken_off_goes_on_where_it_was,
    what_was_appended_is_kept_when_it_is_dropped,
    many_tiny_requests_make_one_content,
    an_upload_can_come_in_one_request,
    bytes_without_their_checksum_do_not_count,
    bytes_with_their_checksum_count,
    what_has_to_be_verified_can_be_nothing,
    a_finished_upload_stays_until_it_is_removed,
    uploads_at_once_do_not_mix,
}

async fn an_upload_that_is_broken_off_goes_on_where_it_was(home: &Home) {
    let segment = home.segment_size();
    let upload = Upload::new(home);
    let mut all = Vec::new();
    for size in [
        1,
        segment / 2 - 1,
        segment / 2,
        segment / 2 + 1,
        0,
        100_000,
        segment,
        2 * segment + 1,
        17,
        700_000,
    ] {
        let bytes = random(size);
        let mut appending = upload.go_on(Vec::new()).await.unwrap();
        assert_eq!(appending.offset(), all.len() as u64);
        write(&mut appending, &bytes).await;
        all.extend_from_slice(&bytes);
        assert_eq!(appending.offset(), all.len() as u64);
        assert_eq!(appending.break_off().await.unwrap(), all.len() as u64);
        assert_eq!(upload.staged().await, all.len());
        let start = all.len().saturating_sub(size + 3);
        assert!(upload.read_staged(start).await == all[start..]);
    }
    assert!(upload.read_staged(0).await == all);
    finish(home, &upload, &all).await;
}

async fn what_was_appended_is_kept_when_it_is_dropped(home: &Home) {
    let upload = Upload::new(home);
    let bytes = random(2 * home.segment_size() + 1000);
    let mut appending = upload.go_on(Vec::new()).await.unwrap();
    write(&mut appending, &bytes).await;
    drop(appending);
    for _ in 0..100 {
        if upload.staged().await == bytes.len() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    assert!(upload.read_staged(0).await == bytes);
    finish(home, &upload, &bytes).await;
}

async fn many_tiny_requests_make_one_content(home: &Home) {
    let upload = Upload::new(home);
    let mut all = Vec::new();
    // A real gateway takes its time for each.
    let is_slow = home.store.name() == "ceph";
    let requests = if is_slow { 300 } else { 3000 };
    for number in 0..requests {
        let bytes = random(1 + number * 7 % 40);
        append(&upload, &bytes).await;
        all.extend_from_slice(&bytes);
        // Whoever goes on reads what is small, so there must not be much of it.
        let segments = upload.book.known().segments.len();
        assert!(segments <= 32, "{segments} segments of {}", all.len());
    }
    if home.store.as_bucket().is_some() {
        assert_eq!(home.segments().await, upload.book.keys());
    }
    assert!(upload.read_staged(0).await == all);
    finish(home, &upload, &all).await;
}

async fn an_upload_can_come_in_one_request(home: &Home) {
    let segment = home.segment_size();
    for size in [0, 1, segment / 2 - 1, segment / 2, segment + 1] {
        let bytes = random(size);
        for checksums in [Vec::new(), vec![sha1(&bytes)]] {
            let upload = Upload::new(home);
            let mut appending = upload.go_on(checksums).await.unwrap();
            write(&mut appending, &bytes).await;
            let kept = kept(appending.end(true).await.unwrap());
            settle(home, &upload, kept, &bytes).await;
        }
        let upload = Upload::new(home);
        let mut appending = upload.go_on(vec![sha1(b"other bytes")]).await.unwrap();
        write(&mut appending, &bytes).await;
        let end = appending.end(true).await.unwrap();
        assert!(matches!(end, End::WrongChecksum(0)), "{size} bytes");
        assert_eq!(upload.staged().await, 0);
        upload.remove().await;
    }
    home.becomes_bare().await;
}

async fn bytes_without_their_checksum_do_not_count(home: &Home) {
    let upload = Upload::new(home);
    let first = random(1_200_000);
    append(&upload, &first).await;
    let before = home.segments().await;
    for size in [1, 100_000, 2 * home.segment_size() + 7] {
        let mut bytes = random(size);
        let right = sha1(&bytes);
        bytes[size / 2] ^= 1;
        let mut appending = upload.go_on(vec![right.clone()]).await.unwrap();
        write(&mut appending, &bytes).await;
        assert_eq!(upload.staged().await, first.len(), "nothing counts yet");
        let end = appending.end(false).await.unwrap();
        let count = first.len() as u64;
        assert!(matches!(end, End::WrongChecksum(at) if at == count));

        // Nor if they do not come to their end, though what came is as it should be.
        bytes[size / 2] ^= 1;
        let mut appending = upload.go_on(vec![right]).await.unwrap();
        write(&mut appending, &bytes).await;
        assert_eq!(appending.break_off().await.unwrap(), count);
        assert_eq!(upload.staged().await, first.len());
        assert_eq!(home.segments().await, before);
    }
    assert!(upload.read_staged(0).await == first);
    finish(home, &upload, &first).await;
}

async fn bytes_with_their_checksum_count(home: &Home) {
    let upload = Upload::new(home);
    let mut all = Vec::new();
    // The small ones are made one while they are verified.
    let sizes = [10; 40]
        .into_iter()
        .chain([2 * home.segment_size() + 7, 0, 5]);
    for size in sizes {
        let bytes = random(size);
        let mut appending = upload.go_on(vec![sha1(&bytes)]).await.unwrap();
        write(&mut appending, &bytes).await;
        all.extend_from_slice(&bytes);
        let kept = kept(appending.end(false).await.unwrap());
        assert_eq!(kept.offset(), all.len() as u64);
        assert_eq!(kept.content(), digests(&all));
        drop(kept);
        assert_eq!(upload.staged().await, all.len());
    }
    if home.store.as_bucket().is_some() {
        assert_eq!(home.segments().await, upload.book.keys());
    }
    finish(home, &upload, &all).await;
}

/// The last request may say that all has come, and be checked as any other.
async fn what_has_to_be_verified_can_be_nothing(home: &Home) {
    // From 16 on what is small is made one.
    for requests in [0, 1, 15, 16, 17] {
        let upload = Upload::new(home);
        let mut all = Vec::new();
        for _ in 0..requests {
            let bytes = random(10);
            append(&upload, &bytes).await;
            all.extend_from_slice(&bytes);
        }
        for is_last in [false, true] {
            let appending = upload.go_on(vec![sha1(b"")]).await.unwrap();
            let kept = kept(appending.end(is_last).await.unwrap());
            if is_last {
                settle(home, &upload, kept, &all).await;
            }
        }
    }
}

async fn a_finished_upload_stays_until_it_is_removed(home: &Home) {
    for size in [0, 100, 2 * home.segment_size() + 1] {
        let upload = Upload::new(home);
        let bytes = random(size);
        append(&upload, &bytes).await;
        // Whoever finishes may die before a row has been committed.
        for _ in 0..2 {
            let appending = upload.go_on(Vec::new()).await.unwrap();
            let kept = kept(appending.end(true).await.unwrap());
            kept.sync().await.unwrap();
            let placed = kept.finish().unwrap().place().await.unwrap();
            assert_eq!(upload.staged().await, size);
            placed.discard().await.unwrap();
            assert!(upload.read_staged(0).await == bytes);
        }
        finish(home, &upload, &bytes).await;
    }
}

async fn uploads_at_once_do_not_mix(home: &Home) {
    let all = (0..6).map(|number| async move {
        let upload = Upload::new(home);
        let mut all = Vec::new();
        for size in [number * 100_000, 300, 0, home.segment_size() / 2 + number] {
            let bytes = random(size);
            append(&upload, &bytes).await;
            all.extend_from_slice(&bytes);
        }
        (upload, all)
    });
    let all = join_all(all).await;
    for (upload, bytes) in &all {
        assert!(upload.read_staged(0).await == *bytes);
    }
    for (upload, bytes) in all {
        finish(home, &upload, &bytes).await;
    }
}

async fn write(appending: &mut Appending, bytes: &[u8]) {
    for piece in bytes.chunks(100_003) {
        appending.write(piece).await.unwrap();
    }
}

/// Sends bytes in a request of their own.
async fn append(upload: &Upload<'_>, bytes: &[u8]) {
    let mut appending = upload.go_on(Vec::new()).await.unwrap();
    write(&mut appending, bytes).await;
    kept(appending.end(false).await.unwrap());
}

fn kept(end: End) -> Kept {
    match end {
        End::Kept(kept) => *kept,
        End::WrongChecksum(_) => panic!("they have the checksum"),
    }
}

/// Takes an upload for whole, and makes sure that it becomes the object that it should be.
async fn finish(home: &Home, upload: &Upload<'_>, all: &[u8]) {
    let appending = upload.go_on(Vec::new()).await.unwrap();
    let kept = kept(appending.end(true).await.unwrap());
    settle(home, upload, kept, all).await;
}

/// Makes sure that an upload becomes the object that it should be, and leaves nothing beside it.
async fn settle(home: &Home, upload: &Upload<'_>, kept: Kept, all: &[u8]) {
    assert_eq!(kept.offset(), all.len() as u64);
    assert_eq!(kept.content(), digests(all));
    let before = home.objects().await;
    let placed = kept.finish().unwrap().place().await.unwrap();
    let key = placed.address().key;
    placed.keep().await;
    let back = read_whole(&home.store, &key, all.len()).await.unwrap();
    assert!(back == all, "{} bytes come back as they were", all.len());
    let size = home.store.size(&key).await.unwrap();
    assert_eq!(size, Some(all.len() as u64));

    upload.remove().await;
    let after: BTreeSet<String> = home.objects().await;
    assert_eq!(after.difference(&before).collect::<Vec<_>>(), [&key]);
    let own = upload.id.to_string();
    let left = home.segments().await;
    assert!(left.iter().all(|key| !key.contains(&own)), "{left:?}");
    assert!(read_whole(&home.store, &key, all.len()).await.unwrap() == all);
    home.store.remove(&key).await.unwrap();
}
