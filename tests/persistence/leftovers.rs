//! The objects that are to go at a time.

use domain::{Address, Sha1};
use harness::TestDatabase;
use persistence::{Database, Leftover};

use crate::{at, on_every_database, some_address, some_content};

on_every_database! {
    what_is_due_is_listed_page_by_page,
    what_is_forgotten_or_put_off_is_not_due,
}

async fn what_is_due_is_listed_page_by_page(database: &Database, _: &TestDatabase) {
    let leftovers = database.leftovers();
    let mut expected: Vec<(Sha1, Address)> = Vec::new();
    // Three are due at each time.
    for time in [30, 10, 20] {
        for _ in 0..3 {
            let (sha1, address) = (some_content().sha1, some_address());
            leftovers.expect(&sha1, &address, at(time)).await.unwrap();
            expected.push((sha1, address));
        }
    }
    expected.rotate_left(3);
    let (mut listed, mut after) = (Vec::new(), None);
    loop {
        let page = leftovers.list_due(at(30), after, 2).await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some((last.due_at, last.id));
        listed.extend(page.into_iter().map(|found| (found.sha1, found.address)));
    }
    assert_eq!(listed, expected);
    let early = leftovers.list_due(at(20), None, 9).await.unwrap();
    assert_eq!(early.len(), 6);
    assert_eq!(leftovers.list_due(at(9), None, 9).await.unwrap(), []);
    assert_eq!(leftovers.count().await.unwrap(), 9);
}

async fn what_is_forgotten_or_put_off_is_not_due(database: &Database, _: &TestDatabase) {
    let leftovers = database.leftovers();
    let sha1 = some_content().sha1;
    let [first, second, other] = [(); 3].map(|()| some_address());
    leftovers.expect(&sha1, &first, at(1)).await.unwrap();
    leftovers.expect(&sha1, &second, at(1)).await.unwrap();
    assert!(leftovers.is_expected(&sha1, &first).await.unwrap());
    assert!(!leftovers.is_expected(&sha1, &other).await.unwrap());
    let unknown = some_content().sha1;
    assert!(!leftovers.is_expected(&unknown, &first).await.unwrap());

    assert!(leftovers.postpone(&sha1, &first, at(5)).await.unwrap());
    assert!(!leftovers.postpone(&sha1, &other, at(5)).await.unwrap());
    let due = leftovers.list_due(at(4), None, 9).await.unwrap();
    let [Leftover { address, .. }] = &due[..] else {
        panic!("{due:?}")
    };
    assert_eq!(*address, second);
    leftovers.forget(&sha1, &second).await.unwrap();
    leftovers.forget(&sha1, &other).await.unwrap();
    let left = leftovers.list_of(&[unknown, sha1]).await.unwrap();
    let [left] = &left[..] else {
        panic!("{left:?}")
    };
    assert_eq!(
        (left.sha1, &left.address, left.due_at),
        (sha1, &first, at(5))
    );
    assert_eq!(leftovers.list_of(&[]).await.unwrap(), []);
    assert_eq!(leftovers.count().await.unwrap(), 1);
}
