//! Takeovers and failures leave an upload in a bucket without a gap in its segments.

use std::time::Duration;

use harness::{digests, random};
use serde_json::json;
use storage::{AppendOutcome, Error};

use crate::{fixture::TestStore, on_every_store, read_whole, sha1, upload::Upload};

on_every_store! { but disk:
    a_superseded_writer_changes_nothing,
    a_writer_knows_that_it_is_superseded,
    a_failed_index_update_leaves_no_gap,
    a_cut_off_write_leaves_no_gap,
}

async fn a_superseded_writer_changes_nothing(fixture: &TestStore) {
    let upload = Upload::new(fixture);
    let first = random(1000);
    let mut writer = upload.append(Vec::new()).await.unwrap();
    writer.write(&first).await.unwrap();
    assert_eq!(writer.suspend().await.unwrap(), 1000);

    for checksums in [Vec::new(), vec![sha1(&random(fixture.segment_size() * 2))]] {
        for is_whole in [true, false] {
            let mut late = upload.append(checksums.clone()).await.unwrap();
            // Two of its segments are in flight or uploaded, and one fills.
            let bytes = random(fixture.segment_size() / 2 * 5 / 2);
            late.write(&bytes).await.unwrap();
            let newer = upload.append(Vec::new()).await.unwrap();
            let before = usize::try_from(newer.offset()).unwrap();
            assert!(late.is_superseded().await.unwrap());
            let outcome = if is_whole {
                late.end(false).await.map(drop)
            } else {
                late.suspend().await.map(drop)
            };
            if checksums.is_empty() {
                assert!(matches!(outcome, Err(Error::InUse)), "{outcome:?}");
            }
            assert_eq!(newer.suspend().await.unwrap(), before as u64);
            assert_eq!(upload.staged().await, before);
            assert_eq!(fixture.segments().await, upload.index.keys());
        }
    }
    assert!(upload.read_staged(0).await[..1000] == first);
    upload.remove().await;
    fixture.wait_until_empty().await;
}

async fn a_writer_knows_that_it_is_superseded(fixture: &TestStore) {
    let upload = Upload::new(fixture);
    let first = upload.append(Vec::new()).await.unwrap();
    assert!(!first.is_superseded().await.unwrap());
    let second = upload.append(Vec::new()).await.unwrap();
    assert!(first.is_superseded().await.unwrap());
    assert!(!second.is_superseded().await.unwrap());
}

/// If the database is unavailable for a moment, no segment may be lost that later segments
/// continue.
async fn a_failed_index_update_leaves_no_gap(fixture: &TestStore) {
    for checksums in [0, 1] {
        let upload = Upload::new(fixture);
        let bytes = random(fixture.segment_size() / 2 * 7 / 2);
        let checksums = vec![sha1(&bytes); checksums];
        let mut writer = upload.append(checksums).await.unwrap();
        upload.index.fail(1);
        let mut outcome = Ok(());
        for piece in bytes.chunks(100_003) {
            outcome = writer.write(piece).await;
            if outcome.is_err() {
                break;
            }
        }
        let ended = match outcome {
            Ok(()) => writer.end(false).await.map(drop),
            Err(error) => {
                let _ = writer.suspend().await;
                Err(error)
            }
        };
        assert!(matches!(ended, Err(Error::SegmentIndex(_))), "{ended:?}");
        finish_from(fixture, &upload, &bytes).await;
    }
}

/// The client may disconnect while the service waits for the store.
async fn a_cut_off_write_leaves_no_gap(fixture: &TestStore) {
    let piece = fixture.segment_size() / 2;
    for drops in [true, false] {
        let upload = Upload::new(fixture);
        let bytes = random(12 * piece);
        for wait in [
            0, 100, 300, 1000, 3000, 5000, 10_000, 20_000, 40_000, 80_000,
        ] {
            let start = upload.staged().await;
            let mut writer = upload.append(Vec::new()).await.unwrap();
            assert_eq!(writer.offset(), start as u64);
            let writing = async {
                for piece in bytes[start..].chunks(100_003) {
                    writer.write(piece).await.unwrap();
                }
            };
            let _ = tokio::time::timeout(Duration::from_micros(wait), writing).await;
            if drops {
                drop(writer);
                tokio::time::sleep(Duration::from_millis(200)).await;
            } else {
                // The segment in flight may be kept or not, but the kept bytes must be correct.
                let _ = writer.suspend().await;
            }
            // If the writer was dropped, more bytes may count later.
            assert!(bytes.starts_with(&upload.read_staged(0).await));
        }
        finish_from(fixture, &upload, &bytes).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_segment_that_cannot_be_written_leaves_no_gap() {
    let fixture = TestStore::with_timeout(Duration::from_secs(10));
    for (checksums, is_suspended) in [(0, true), (0, false), (1, true), (1, false)] {
        let upload = Upload::new(&fixture);
        let bytes = random(fixture.segment_size() / 2 * 7 / 2);
        let checksums = vec![sha1(&bytes); checksums];
        let mut writer = upload.append(checksums).await.unwrap();
        // As many faults as a write has attempts, so that only one write fails.
        let fault = json!({"kind": "error", "operation": "PUT", "times": 4});
        fixture.oss().fault(&fault).await;
        let mut outcome = Ok(());
        for piece in bytes.chunks(100_003) {
            outcome = writer.write(piece).await;
            if outcome.is_err() {
                break;
            }
        }
        assert!(matches!(outcome, Err(Error::Unavailable(_))), "{outcome:?}");
        if is_suspended {
            let _ = writer.suspend().await;
        } else {
            drop(writer);
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        finish_from(&fixture, &upload, &bytes).await;
    }
}

/// Sends the missing bytes of an upload, and checks the object that it becomes.
async fn finish_from(fixture: &TestStore, upload: &Upload<'_>, all: &[u8]) {
    let start = upload.staged().await;
    assert!(upload.read_staged(0).await == all[..start]);
    let mut writer = upload.append(Vec::new()).await.unwrap();
    writer.write(&all[start..]).await.unwrap();
    let AppendOutcome::Appended(appended) = writer.end(true).await.unwrap() else {
        panic!("nothing is verified");
    };
    assert_eq!(appended.content(), digests(all));
    let object = appended.finish().unwrap().persist().await.unwrap();
    let back = read_whole(&fixture.store, &object.address().key, all.len()).await;
    assert!(back.unwrap() == all);
    object.discard().await.unwrap();
    upload.remove().await;
}
