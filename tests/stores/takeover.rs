//! What counts of an upload in a bucket whatever happens: a row of segments without a gap.

use std::time::Duration;

use harness::{digests, random};
use serde_json::json;
use storage::{End, Error};

use crate::{book::Upload, home::Home, on_every_store, read_whole, sha1};

on_every_store! { but disk:
    who_lost_the_turn_changes_nothing,
    whose_turn_it_is_is_told,
    what_cannot_be_noted_leaves_no_gap,
    writing_that_is_cut_off_leaves_no_gap,
}

async fn who_lost_the_turn_changes_nothing(home: &Home) {
    let upload = Upload::new(home);
    let first = random(1000);
    let mut appending = upload.go_on(Vec::new()).await.unwrap();
    appending.write(&first).await.unwrap();
    assert_eq!(appending.break_off().await.unwrap(), 1000);

    for checksums in [Vec::new(), vec![sha1(&random(home.segment_size() * 2))]] {
        for is_whole in [true, false] {
            let mut late = upload.go_on(checksums.clone()).await.unwrap();
            // Two segments of it fly, or have arrived, and one fills.
            let bytes = random(home.segment_size() / 2 * 5 / 2);
            late.write(&bytes).await.unwrap();
            let newer = upload.go_on(Vec::new()).await.unwrap();
            let known = usize::try_from(newer.offset()).unwrap();
            assert!(late.is_wanted().await.unwrap());
            let outcome = if is_whole {
                late.end(false).await.map(drop)
            } else {
                late.break_off().await.map(drop)
            };
            if checksums.is_empty() {
                assert!(matches!(outcome, Err(Error::InUse)), "{outcome:?}");
            }
            assert_eq!(newer.break_off().await.unwrap(), known as u64);
            assert_eq!(upload.staged().await, known);
            assert_eq!(home.segments().await, upload.book.keys());
        }
    }
    assert!(upload.read_staged(0).await[..1000] == first);
    upload.remove().await;
    home.becomes_bare().await;
}

async fn whose_turn_it_is_is_told(home: &Home) {
    let upload = Upload::new(home);
    let first = upload.go_on(Vec::new()).await.unwrap();
    assert!(!first.is_wanted().await.unwrap());
    let second = upload.go_on(Vec::new()).await.unwrap();
    assert!(first.is_wanted().await.unwrap());
    assert!(!second.is_wanted().await.unwrap());
}

/// A database that is away for a moment must not make a segment be forgotten of which later ones
/// are the continuation.
async fn what_cannot_be_noted_leaves_no_gap(home: &Home) {
    for checksums in [0, 1] {
        let upload = Upload::new(home);
        let bytes = random(home.segment_size() / 2 * 7 / 2);
        let checksums = vec![sha1(&bytes); checksums];
        let mut appending = upload.go_on(checksums).await.unwrap();
        upload.book.fail(1);
        let mut outcome = Ok(());
        for piece in bytes.chunks(100_003) {
            outcome = appending.write(piece).await;
            if outcome.is_err() {
                break;
            }
        }
        let ended = match outcome {
            Ok(()) => appending.end(false).await.map(drop),
            Err(error) => {
                let _ = appending.break_off().await;
                Err(error)
            }
        };
        assert!(matches!(ended, Err(Error::Ledger(_))), "{ended:?}");
        finish_from(home, &upload, &bytes).await;
    }
}

/// The client may go away while the service waits for the store.
async fn writing_that_is_cut_off_leaves_no_gap(home: &Home) {
    let piece = home.segment_size() / 2;
    for drops in [true, false] {
        let upload = Upload::new(home);
        let bytes = random(12 * piece);
        for wait in [
            0, 100, 300, 1000, 3000, 5000, 10_000, 20_000, 40_000, 80_000,
        ] {
            let start = upload.staged().await;
            let mut appending = upload.go_on(Vec::new()).await.unwrap();
            assert_eq!(appending.offset(), start as u64);
            let writing = async {
                for piece in bytes[start..].chunks(100_003) {
                    appending.write(piece).await.unwrap();
                }
            };
            let _ = tokio::time::timeout(Duration::from_micros(wait), writing).await;
            if drops {
                drop(appending);
                tokio::time::sleep(Duration::from_millis(200)).await;
            } else {
                // Whether what flew is kept is left open, but not that what is kept is right.
                let _ = appending.break_off().await;
            }
            // More may come to count meanwhile, if it was dropped.
            assert!(bytes.starts_with(&upload.read_staged(0).await));
        }
        finish_from(home, &upload, &bytes).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_segment_that_cannot_be_written_leaves_no_gap() {
    let home = Home::with_timeout(Duration::from_secs(10));
    for (checksums, breaks_off) in [(0, true), (0, false), (1, true), (1, false)] {
        let upload = Upload::new(&home);
        let bytes = random(home.segment_size() / 2 * 7 / 2);
        let checksums = vec![sha1(&bytes); checksums];
        let mut appending = upload.go_on(checksums).await.unwrap();
        // As often as a write is tried: so one fails, and those after it do not.
        let fault = json!({"kind": "error", "operation": "PUT", "times": 4});
        home.oss().fault(&fault).await;
        let mut outcome = Ok(());
        for piece in bytes.chunks(100_003) {
            outcome = appending.write(piece).await;
            if outcome.is_err() {
                break;
            }
        }
        assert!(matches!(outcome, Err(Error::Unavailable(_))), "{outcome:?}");
        if breaks_off {
            let _ = appending.break_off().await;
        } else {
            drop(appending);
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        finish_from(&home, &upload, &bytes).await;
    }
}

/// Sends what is missing of an upload, and makes sure that it becomes what it should be.
async fn finish_from(home: &Home, upload: &Upload<'_>, all: &[u8]) {
    let start = upload.staged().await;
    assert!(upload.read_staged(0).await == all[..start]);
    let mut appending = upload.go_on(Vec::new()).await.unwrap();
    appending.write(&all[start..]).await.unwrap();
    let End::Kept(kept) = appending.end(true).await.unwrap() else {
        panic!("nothing is verified");
    };
    assert_eq!(kept.content(), digests(all));
    let placed = kept.finish().unwrap().place().await.unwrap();
    let back = read_whole(&home.store, &placed.address().key, all.len()).await;
    assert!(back.unwrap() == all);
    placed.discard().await.unwrap();
    upload.remove().await;
}
