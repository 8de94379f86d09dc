//! Transfers while there is little memory for them: slower, and as whole as always.

use futures_util::future::join_all;
use harness::{digests, random};
use storage::{AppendOutcome, Memory};

use crate::{
    fixture::{self, Kind, TestStore},
    on_every_store, read_whole, stage,
    upload::Upload,
};

/// Less than one upload of several parts needs.
const LITTLE: u64 = 1024 * 1024;

on_every_store! {
    by crate::memory::with_little_memory;
    objects_are_written_and_read_whole,
    uploads_are_appended_to_whole,
}

/// Runs a test with none, and with little.
async fn with_little_memory(kind: Kind, test: impl AsyncFn(&TestStore)) {
    for memory in [0, LITTLE] {
        fixture::with_memory(kind, Memory::new(memory), &test).await;
    }
}

async fn objects_are_written_and_read_whole(fixture: &TestStore) {
    let sizes = [
        10,
        70_000,
        600_000,
        1_500_000,
        3 * fixture.segment_size() + 1,
    ];
    let objects = sizes.iter().chain(&sizes).map(|size| async {
        let bytes = random(*size);
        let staged = stage(&fixture.store, &bytes).await.unwrap();
        assert_eq!(staged.content.sha1, digests(&bytes).sha1);
        let object = staged.persist().await.unwrap();
        let key = object.address().key;
        object.commit().await;
        (key, bytes)
    });
    let objects = join_all(objects).await;
    // Many read at once, of which some have large pieces.
    let reads = objects.iter().chain(&objects).map(|(key, bytes)| async {
        let back = read_whole(&fixture.store, key, bytes.len()).await.unwrap();
        assert!(back == *bytes);
    });
    join_all(reads).await;
}

async fn uploads_are_appended_to_whole(fixture: &TestStore) {
    let uploads = (0..4).map(|_| async {
        let bytes = random(2 * fixture.segment_size() + 100_001);
        let upload = Upload::new(fixture);
        let (first, second) = bytes.split_at(bytes.len() / 2);
        for (part, is_last) in [(first, false), (second, true)] {
            let mut writer = upload.append(Vec::new()).await.unwrap();
            for piece in part.chunks(50_001) {
                writer.write(piece).await.unwrap();
            }
            let AppendOutcome::Appended(appended) = writer.end(is_last).await.unwrap() else {
                panic!("there is no checksum");
            };
            if is_last {
                assert_eq!(appended.content().sha1, digests(&bytes).sha1);
            }
        }
        assert_eq!(upload.staged().await, bytes.len());
    });
    join_all(uploads).await;
}
