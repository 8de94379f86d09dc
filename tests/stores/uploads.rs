//! The behaviour of every store for contents that arrive in several requests.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use harness::{digests, random};
use storage::{AppendOutcome, AppendWriter, AppendedBytes};

use crate::{fixture::TestStore, on_every_store, read_whole, sha1, upload::Upload};

on_every_store! {
    a_suspended_upload_resumes_at_its_offset,
    appended_bytes_are_kept_when_the_writer_is_dropped,
    many_tiny_requests_make_one_content,
    an_upload_can_come_in_one_request,
    bytes_without_their_checksum_do_not_count,
    bytes_with_their_checksum_count,
    an_empty_request_can_be_verified,
    a_finished_upload_stays_until_it_is_removed,
    concurrent_uploads_do_not_mix,
}

async fn a_suspended_upload_resumes_at_its_offset(fixture: &TestStore) {
    let segment = fixture.segment_size();
    let upload = Upload::new(fixture);
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
        let mut writer = upload.append(Vec::new()).await.unwrap();
        assert_eq!(writer.offset(), all.len() as u64);
        write(&mut writer, &bytes).await;
        all.extend_from_slice(&bytes);
        assert_eq!(writer.offset(), all.len() as u64);
        assert_eq!(writer.suspend().await.unwrap(), all.len() as u64);
        assert_eq!(upload.staged().await, all.len());
        let start = all.len().saturating_sub(size + 3);
        assert!(upload.read_staged(start).await == all[start..]);
    }
    assert!(upload.read_staged(0).await == all);
    finish(fixture, &upload, &all).await;
}

async fn appended_bytes_are_kept_when_the_writer_is_dropped(fixture: &TestStore) {
    let upload = Upload::new(fixture);
    let bytes = random(2 * fixture.segment_size() + 1000);
    let mut writer = upload.append(Vec::new()).await.unwrap();
    write(&mut writer, &bytes).await;
    drop(writer);
    for _ in 0..100 {
        if upload.staged().await == bytes.len() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    assert!(upload.read_staged(0).await == bytes);
    finish(fixture, &upload, &bytes).await;
}

async fn many_tiny_requests_make_one_content(fixture: &TestStore) {
    let upload = Upload::new(fixture);
    let mut all = Vec::new();
    // Each request takes a real gateway a while.
    let is_slow = fixture.store.name() == "ceph";
    let requests = if is_slow { 300 } else { 3000 };
    for number in 0..requests {
        let bytes = random(1 + number * 7 % 40);
        append(&upload, &bytes).await;
        all.extend_from_slice(&bytes);
        // A later append reads small segments back, so there must not be many.
        let segments = upload.index.progress().segments.len();
        assert!(segments <= 32, "{segments} segments of {}", all.len());
    }
    if fixture.store.as_bucket().is_some() {
        assert_eq!(fixture.segments().await, upload.index.keys());
    }
    assert!(upload.read_staged(0).await == all);
    finish(fixture, &upload, &all).await;
}

async fn an_upload_can_come_in_one_request(fixture: &TestStore) {
    let segment = fixture.segment_size();
    for size in [0, 1, segment / 2 - 1, segment / 2, segment + 1] {
        let bytes = random(size);
        for checksums in [Vec::new(), vec![sha1(&bytes)]] {
            let upload = Upload::new(fixture);
            let mut writer = upload.append(checksums).await.unwrap();
            write(&mut writer, &bytes).await;
            let appended = appended(writer.end(true).await.unwrap());
            settle(fixture, &upload, appended, &bytes).await;
        }
        let upload = Upload::new(fixture);
        let mut writer = upload.append(vec![sha1(b"other bytes")]).await.unwrap();
        write(&mut writer, &bytes).await;
        let outcome = writer.end(true).await.unwrap();
        assert!(
            matches!(outcome, AppendOutcome::ChecksumMismatch(0)),
            "{size} bytes"
        );
        assert_eq!(upload.staged().await, 0);
        upload.remove().await;
    }
    fixture.wait_until_empty().await;
}

async fn bytes_without_their_checksum_do_not_count(fixture: &TestStore) {
    let upload = Upload::new(fixture);
    let first = random(1_200_000);
    append(&upload, &first).await;
    let before = fixture.segments().await;
    for size in [1, 100_000, 2 * fixture.segment_size() + 7] {
        let mut bytes = random(size);
        let right = sha1(&bytes);
        bytes[size / 2] ^= 1;
        let mut writer = upload.append(vec![right.clone()]).await.unwrap();
        write(&mut writer, &bytes).await;
        assert_eq!(upload.staged().await, first.len(), "nothing counts yet");
        let outcome = writer.end(false).await.unwrap();
        let count = first.len() as u64;
        assert!(matches!(outcome, AppendOutcome::ChecksumMismatch(at) if at == count));

        // Incomplete bytes do not count either, even if they are correct.
        bytes[size / 2] ^= 1;
        let mut writer = upload.append(vec![right]).await.unwrap();
        write(&mut writer, &bytes).await;
        assert_eq!(writer.suspend().await.unwrap(), count);
        assert_eq!(upload.staged().await, first.len());
        assert_eq!(fixture.segments().await, before);
    }
    assert!(upload.read_staged(0).await == first);
    finish(fixture, &upload, &first).await;
}

async fn bytes_with_their_checksum_count(fixture: &TestStore) {
    let upload = Upload::new(fixture);
    let mut all = Vec::new();
    // The small segments are compacted while the bytes are verified.
    let sizes = [10; 40]
        .into_iter()
        .chain([2 * fixture.segment_size() + 7, 0, 5]);
    for size in sizes {
        let bytes = random(size);
        let mut writer = upload.append(vec![sha1(&bytes)]).await.unwrap();
        write(&mut writer, &bytes).await;
        all.extend_from_slice(&bytes);
        let appended = appended(writer.end(false).await.unwrap());
        assert_eq!(appended.offset(), all.len() as u64);
        assert_eq!(appended.content(), digests(&all));
        drop(appended);
        assert_eq!(upload.staged().await, all.len());
    }
    if fixture.store.as_bucket().is_some() {
        assert_eq!(fixture.segments().await, upload.index.keys());
    }
    finish(fixture, &upload, &all).await;
}

/// The last request may be empty, and is verified as any other.
async fn an_empty_request_can_be_verified(fixture: &TestStore) {
    // From 16 requests on, the small segments are compacted.
    for requests in [0, 1, 15, 16, 17] {
        let upload = Upload::new(fixture);
        let mut all = Vec::new();
        for _ in 0..requests {
            let bytes = random(10);
            append(&upload, &bytes).await;
            all.extend_from_slice(&bytes);
        }
        for is_last in [false, true] {
            let writer = upload.append(vec![sha1(b"")]).await.unwrap();
            let appended = appended(writer.end(is_last).await.unwrap());
            if is_last {
                settle(fixture, &upload, appended, &all).await;
            }
        }
    }
}

async fn a_finished_upload_stays_until_it_is_removed(fixture: &TestStore) {
    for size in [0, 100, 2 * fixture.segment_size() + 1] {
        let upload = Upload::new(fixture);
        let bytes = random(size);
        append(&upload, &bytes).await;
        // The process may die before the row is committed.
        for _ in 0..2 {
            let writer = upload.append(Vec::new()).await.unwrap();
            let appended = appended(writer.end(true).await.unwrap());
            appended.sync().await.unwrap();
            let object = appended.finish().unwrap().persist().await.unwrap();
            assert_eq!(upload.staged().await, size);
            object.discard().await.unwrap();
            assert!(upload.read_staged(0).await == bytes);
        }
        finish(fixture, &upload, &bytes).await;
    }
}

async fn concurrent_uploads_do_not_mix(fixture: &TestStore) {
    let all = (0..6).map(|number| async move {
        let upload = Upload::new(fixture);
        let mut all = Vec::new();
        for size in [
            number * 100_000,
            300,
            0,
            fixture.segment_size() / 2 + number,
        ] {
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
        finish(fixture, &upload, &bytes).await;
    }
}

async fn write(writer: &mut AppendWriter, bytes: &[u8]) {
    for piece in bytes.chunks(100_003) {
        writer.write(piece).await.unwrap();
    }
}

/// Appends bytes in one request.
async fn append(upload: &Upload<'_>, bytes: &[u8]) {
    let mut writer = upload.append(Vec::new()).await.unwrap();
    write(&mut writer, bytes).await;
    appended(writer.end(false).await.unwrap());
}

fn appended(outcome: AppendOutcome) -> AppendedBytes {
    match outcome {
        AppendOutcome::Appended(appended) => *appended,
        AppendOutcome::ChecksumMismatch(_) => panic!("the bytes match the checksum"),
    }
}

/// Completes an upload, and checks the object that it becomes.
async fn finish(fixture: &TestStore, upload: &Upload<'_>, all: &[u8]) {
    let writer = upload.append(Vec::new()).await.unwrap();
    let appended = appended(writer.end(true).await.unwrap());
    settle(fixture, upload, appended, all).await;
}

/// Checks the object that an upload becomes, and that nothing else is left.
async fn settle(fixture: &TestStore, upload: &Upload<'_>, appended: AppendedBytes, all: &[u8]) {
    assert_eq!(appended.offset(), all.len() as u64);
    assert_eq!(appended.content(), digests(all));
    let before = fixture.objects().await;
    let object = appended.finish().unwrap().persist().await.unwrap();
    let key = object.address().key;
    object.commit().await;
    let back = read_whole(&fixture.store, &key, all.len()).await.unwrap();
    assert!(back == all, "{} bytes are read back unchanged", all.len());
    let size = fixture.store.size(&key).await.unwrap();
    assert_eq!(size, Some(all.len() as u64));

    upload.remove().await;
    let after: BTreeSet<String> = fixture.objects().await;
    assert_eq!(after.difference(&before).collect::<Vec<_>>(), [&key]);
    let own = upload.id.to_string();
    let left = fixture.segments().await;
    assert!(left.iter().all(|key| !key.contains(&own)), "{left:?}");
    assert!(read_whole(&fixture.store, &key, all.len()).await.unwrap() == all);
    fixture.store.remove(&key).await.unwrap();
}
