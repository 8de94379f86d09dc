//! Pending deletions of objects.

use domain::{Address, Sha1};
use harness::TestDatabase;
use persistence::{Database, PendingDeletion};

use crate::{at, on_every_database, some_address, some_content};

on_every_database! {
    due_deletions_are_listed_page_by_page,
    cancelled_and_postponed_deletions_are_not_due,
}

async fn due_deletions_are_listed_page_by_page(database: &Database, _: &TestDatabase) {
    let pending = database.pending_deletions();
    let mut expected: Vec<(Sha1, Address)> = Vec::new();
    // Three deletions are due at each time.
    for time in [30, 10, 20] {
        for _ in 0..3 {
            let (sha1, address) = (some_content().sha1, some_address());
            pending.schedule(&sha1, &address, at(time)).await.unwrap();
            expected.push((sha1, address));
        }
    }
    expected.rotate_left(3);
    let (mut listed, mut after) = (Vec::new(), None);
    loop {
        let page = pending.list_due(at(30), after, 2).await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some((last.due_at, last.id));
        listed.extend(page.into_iter().map(|found| (found.sha1, found.address)));
    }
    assert_eq!(listed, expected);
    let early = pending.list_due(at(20), None, 9).await.unwrap();
    assert_eq!(early.len(), 6);
    assert_eq!(pending.list_due(at(9), None, 9).await.unwrap(), []);
    assert_eq!(pending.count().await.unwrap(), 9);
}

async fn cancelled_and_postponed_deletions_are_not_due(database: &Database, _: &TestDatabase) {
    let pending = database.pending_deletions();
    let sha1 = some_content().sha1;
    let [first, second, other] = [(); 3].map(|()| some_address());
    pending.schedule(&sha1, &first, at(1)).await.unwrap();
    pending.schedule(&sha1, &second, at(1)).await.unwrap();
    assert!(pending.is_scheduled(&sha1, &first).await.unwrap());
    assert!(!pending.is_scheduled(&sha1, &other).await.unwrap());
    let unknown = some_content().sha1;
    assert!(!pending.is_scheduled(&unknown, &first).await.unwrap());

    assert!(pending.postpone(&sha1, &first, at(5)).await.unwrap());
    assert!(!pending.postpone(&sha1, &other, at(5)).await.unwrap());
    let due = pending.list_due(at(4), None, 9).await.unwrap();
    let [PendingDeletion { address, .. }] = &due[..] else {
        panic!("{due:?}")
    };
    assert_eq!(*address, second);
    pending.cancel(&sha1, &second).await.unwrap();
    pending.cancel(&sha1, &other).await.unwrap();
    let left = pending.list_of(&[unknown, sha1]).await.unwrap();
    let [left] = &left[..] else {
        panic!("{left:?}")
    };
    assert_eq!(
        (left.sha1, &left.address, left.due_at),
        (sha1, &first, at(5))
    );
    assert_eq!(pending.list_of(&[]).await.unwrap(), []);
    assert_eq!(pending.count().await.unwrap(), 1);
}
