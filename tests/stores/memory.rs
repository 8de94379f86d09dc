//! Transfers while there is little memory for them: slower, and as whole as always.

use domain::Owner;
use futures_util::future::join_all;
use harness::{digests, random};
use storage::{AppendOutcome, Error, Memory};

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

#[tokio::test]
async fn an_owner_leaves_memory_to_others() {
    let needed = TestStore::with_memory(Kind::Ceph, Memory::default()).await;
    let needed = needed.store.as_bucket().unwrap().memory_needed(None) as u64;
    fixture::with_memory(Kind::Ceph, Memory::new(4 * needed), async |fixture| {
        let [alice, bob]: [Owner; 2] = ["alice", "bob"].map(|owner| owner.parse().unwrap());
        let bytes = random(100_000);
        let begin = async |owner: &Owner| {
            let mut writer = fixture.store.for_owner(owner).writer(None);
            writer.write(&bytes).await.map(|()| writer)
        };
        let held = join_all((0..3).map(|_| begin(&alice))).await;
        assert!(held.iter().all(Result::is_ok));
        let refused = begin(&alice).await.err();
        assert!(
            matches!(refused, Some(Error::Unavailable(_))),
            "{refused:?}"
        );
        assert!(begin(&bob).await.is_ok());
        drop(held);
        assert!(begin(&alice).await.is_ok());
    })
    .await;
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
