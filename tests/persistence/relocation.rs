//! Copies that are made in other stores, and what they leave over.

use std::time::Duration;

use domain::{Address, Content, EntryUpdate, Job, MediaType, Quota, StoredContent};
use harness::{TestDatabase, unique_text};
use persistence::{CopyTarget, Database, RecordOutcome, Relocation, Shard, UploadRecord};

use crate::{at, on_every_database, owner, record, some_content, transfers::transfer};

on_every_database! {
    what_comes_is_expected_no_longer_and_is_to_be_copied,
    what_comes_second_is_still_to_go,
    an_upload_counts_or_is_condemned,
    copies_that_are_replaced_are_to_go,
    a_content_moves,
    a_content_is_copied_and_then_moves,
    a_copy_that_is_there_already_becomes_the_first,
    a_job_that_another_holds_changes_nothing,
    one_of_two_copies_counts,
    a_content_is_moved_or_withdrawn,
    what_is_condemned_does_not_come_back,
    a_copy_counts_or_is_condemned,
    a_second_place_is_recorded,
    a_content_with_another_second_place_is_not_withdrawn,
    the_contents_of_a_store_are_listed_and_counted,
}

async fn what_comes_is_expected_no_longer_and_is_to_be_copied(
    database: &Database,
    _: &TestDatabase,
) {
    let content = some_content();
    let [first, unrelated] = [(); 2].map(|()| address("ceph"));
    expect(database, &content, &unrelated).await;
    let stored = arrive(database, &content, &first, None).await;
    assert_eq!(stored.address, first);
    assert_eq!(left(database, &content).await, [(unrelated, 90)]);
    let jobs = database.jobs().list_due(at(10), 9).await.unwrap();
    let [job] = &jobs[..] else { panic!("{jobs:?}") };
    assert_eq!((job.from.as_str(), job.to.as_str()), ("ceph", "oss"));
    assert_eq!(
        (job.sha1, job.size, job.keeps_source, job.transfer),
        (content.sha1, content.size, true, None)
    );
    assert_eq!((job.due_at, job.create_at), (at(10), at(10)));

    // What is where it is to be is not copied.
    arrive(database, &some_content(), &address("oss"), None).await;
    assert_eq!(database.jobs().counts().await.unwrap().waiting, 1);
}

async fn what_comes_second_is_still_to_go(database: &Database, _: &TestDatabase) {
    let content = some_content();
    let [first, second] = [(); 2].map(|()| address("ceph"));
    record(database, "alice", "a", &content, 1).await;
    for address in [&first, &second] {
        let stored = arrive(database, &content, address, None).await;
        assert_ne!(stored.address, *address);
    }
    assert_eq!(left(database, &content).await, [(first, 90), (second, 90)]);
    assert_eq!(database.jobs().counts().await.unwrap().waiting, 0);
}

async fn an_upload_counts_or_is_condemned(database: &Database, _: &TestDatabase) {
    let pending = database.pending_deletions();
    for _ in 0..10 {
        let (content, address) = (some_content(), address("ceph"));
        expect(database, &content, &address).await;
        let seen = pending.list_of(&[content.sha1]).await.unwrap();
        let (recording, is_claimed) = tokio::join!(
            try_arrive(database, &content, &address, None),
            pending.claim(&seen[0])
        );
        let is_claimed = is_claimed.unwrap();
        match recording {
            RecordOutcome::Recorded { .. } => assert!(!is_claimed),
            RecordOutcome::ContentMissing => assert!(is_claimed),
            other => panic!("{other:?}"),
        }
        let found = database.contents().find(&content.sha1).await.unwrap();
        assert_eq!(found.is_none(), is_claimed);
    }
}

async fn copies_that_are_replaced_are_to_go(database: &Database, _: &TestDatabase) {
    let content = some_content();
    let [first, again] = [(); 2].map(|()| address("ceph"));
    let second = address("oss");
    let stored = arrive(database, &content, &first, None).await;
    let job = only_job(database).await;
    assert!(switch(database, &to(&stored, &second, true)).await);
    let jobs = database.jobs();
    let held = jobs.claim(job.id, "a", at(11), at(99)).await.unwrap();
    assert!(held.is_some());

    let stored = arrive(database, &content, &again, Some(&first)).await;
    assert_eq!((stored.address, stored.second), (again, None));
    assert_eq!(left(database, &content).await, [(second, 15), (first, 15)]);
    // The job is for other bytes now: whoever holds it cannot say that it is done.
    assert!(!jobs.finish(job.id, "a").await.unwrap());
    let begun_anew = jobs.find(job.id).await.unwrap().unwrap();
    assert_eq!((begun_anew.due_at, begun_anew.attempts), (at(10), 0));
}

async fn a_content_moves(database: &Database, _: &TestDatabase) {
    let content = some_content();
    let [from, to_address] = [address("ceph"), address("oss")];
    let stored = arrive(database, &content, &from, None).await;
    let job = held_job(database, "a").await;
    let transfer = transfer(1);
    database.transfers().insert(&transfer).await.unwrap();
    let made = Relocation {
        job: Some((job.id, "a")),
        transfer: Some(transfer.id),
        ..to(&stored, &to_address, false)
    };
    assert!(switch(database, &made).await);
    let moved = find(database, &content).await;
    assert_eq!((&moved.address, &moved.second), (&to_address, &None));
    assert_eq!(left(database, &content).await, [(from, 70)]);
    assert_eq!(database.jobs().find(job.id).await.unwrap(), None);
    let counted = database.transfers().find(transfer.id).await.unwrap();
    let counted = counted.unwrap();
    assert_eq!(
        (counted.copied_files, counted.copied_bytes),
        (1, content.size)
    );
    // It is not where it was seen to be any more.
    let again = Relocation { job: None, ..made };
    assert!(!switch(database, &again).await);
    let unknown = StoredContent {
        content: some_content(),
        ..moved.clone()
    };
    assert!(!switch(database, &to(&unknown, &to_address, false)).await);
    assert_eq!(find(database, &content).await, moved);
    let counted_now = database.transfers().find(transfer.id).await.unwrap();
    assert_eq!(counted_now, Some(counted));
}

async fn a_content_is_copied_and_then_moves(database: &Database, _: &TestDatabase) {
    let content = some_content();
    let [from, elsewhere] = [address("ceph"), address("elsewhere")];
    let [copy, newer, newest] = [(); 3].map(|()| address("oss"));
    let stored = arrive(database, &content, &from, None).await;
    for (copy, left_over) in [(&copy, vec![]), (&newer, vec![(copy.clone(), 70)])] {
        assert!(switch(database, &to(&stored, copy, true)).await);
        let copied = find(database, &content).await;
        assert_eq!(copied.address, from);
        assert_eq!(copied.second.as_ref(), Some(copy));
        assert_eq!(left(database, &content).await, left_over);
    }
    // The copy in one store stays as the second when the first moves to another.
    assert!(switch(database, &to(&stored, &elsewhere, false)).await);
    let moved = find(database, &content).await;
    assert_eq!(moved.address, elsewhere);
    assert_eq!(moved.second.as_ref(), Some(&newer));
    // No store is to have the same bytes twice.
    assert!(switch(database, &to(&moved, &newest, false)).await);
    let moved = find(database, &content).await;
    assert_eq!((moved.address, moved.second), (newest, None));
    assert_eq!(
        left(database, &content).await,
        [(copy, 70), (from, 70), (elsewhere, 70), (newer, 70)]
    );
}

async fn a_copy_that_is_there_already_becomes_the_first(database: &Database, _: &TestDatabase) {
    let content = some_content();
    let [from, copy] = [address("ceph"), address("oss")];
    let stored = arrive(database, &content, &from, None).await;
    assert!(switch(database, &to(&stored, &copy, true)).await);
    let copied = find(database, &content).await;
    // Nobody expects it to go.
    let is_moved = database.relocate(&to(&copied, &copy, false)).await;
    assert!(is_moved.unwrap());
    let moved = find(database, &content).await;
    assert_eq!((moved.address, moved.second), (copy, None));
    assert_eq!(left(database, &content).await, [(from, 70)]);
}

async fn a_job_that_another_holds_changes_nothing(database: &Database, _: &TestDatabase) {
    let content = some_content();
    let [from, copy] = [address("ceph"), address("oss")];
    let stored = arrive(database, &content, &from, None).await;
    expect(database, &content, &copy).await;
    let transfer = transfer(1);
    database.transfers().insert(&transfer).await.unwrap();
    let job = held_job(database, "another").await;
    for job in [(job.id, "a"), (job.id + 1, "another")] {
        let switch = Relocation {
            job: Some(job),
            transfer: Some(transfer.id),
            ..to(&stored, &copy, false)
        };
        assert!(!database.relocate(&switch).await.unwrap());
    }
    assert_eq!(find(database, &content).await, stored);
    assert_eq!(left(database, &content).await, [(copy, 90)]);
    let found = database.jobs().find(job.id).await.unwrap();
    assert_eq!(found, Some(job));
    let found = database.transfers().find(transfer.id).await.unwrap();
    assert_eq!(found, Some(transfer));
}

async fn one_of_two_copies_counts(database: &Database, _: &TestDatabase) {
    let transfer = transfer(1);
    database.transfers().insert(&transfer).await.unwrap();
    for round in 1..=10 {
        let content = some_content();
        let from = address("ceph");
        let stored = arrive(database, &content, &from, None).await;
        let copies = [(); 2].map(|()| address("oss"));
        for copy in &copies {
            expect(database, &content, copy).await;
        }
        let [first, second] = copies.each_ref().map(|copy| Relocation {
            transfer: Some(transfer.id),
            ..to(&stored, copy, false)
        });
        let (first, second) = tokio::join!(database.relocate(&first), database.relocate(&second));
        let (first, second) = (first.unwrap(), second.unwrap());
        assert!(first != second);
        let moved = find(database, &content).await;
        assert_eq!(moved.address, copies[usize::from(second)]);
        let loser = copies[usize::from(first)].clone();
        assert_eq!(left(database, &content).await, [(loser, 90), (from, 70)]);
        let counted = database.transfers().find(transfer.id).await.unwrap();
        assert_eq!(counted.unwrap().copied_files, round);
    }
}

async fn a_content_is_moved_or_withdrawn(database: &Database, _: &TestDatabase) {
    for _ in 0..10 {
        let content = some_content();
        let stored = arrive(database, &content, &address("ceph"), None).await;
        give_up(database, &content).await;
        let copy = address("oss");
        expect(database, &content, &copy).await;
        let (switch, purging) = (to(&stored, &copy, false), database.purging());
        let (is_moved, is_withdrawn) = tokio::join!(
            database.relocate(&switch),
            purging.withdraw(&stored, at(100), at(100)),
        );
        let is_moved = is_moved.unwrap();
        assert!(is_moved != is_withdrawn.unwrap());
        let found = database.contents().find(&content.sha1).await.unwrap();
        assert_eq!(found.map(|found| found.address), is_moved.then_some(copy));
    }
}

async fn what_is_condemned_does_not_come_back(database: &Database, _: &TestDatabase) {
    let content = some_content();
    let stored = arrive(database, &content, &address("ceph"), None).await;
    let copy = address("oss");
    let switch = to(&stored, &copy, false);
    assert!(!database.relocate(&switch).await.unwrap(), "not expected");
    expect(database, &content, &copy).await;
    let pending = database.pending_deletions();
    let due = pending.list_due(at(90), None, 9).await.unwrap();
    let postponed = pending.postpone(&content.sha1, &copy, at(95)).await;
    assert!(postponed.unwrap());
    assert!(!pending.claim(&due[0]).await.unwrap(), "put off since");
    let due = pending.list_due(at(95), None, 9).await.unwrap();
    assert!(pending.claim(&due[0]).await.unwrap());
    let postponed = pending.postpone(&content.sha1, &copy, at(99)).await;
    assert!(!postponed.unwrap());
    assert!(!database.relocate(&switch).await.unwrap());
    assert_eq!(find(database, &content).await, stored);
    // After a crash it is found and gone on with.
    let due = pending.list_due(at(1), None, 9).await.unwrap();
    assert_eq!(due.len(), 1);
    assert!(pending.claim(&due[0]).await.unwrap());
}

async fn a_copy_counts_or_is_condemned(database: &Database, _: &TestDatabase) {
    let pending = database.pending_deletions();
    for _ in 0..10 {
        let content = some_content();
        let stored = arrive(database, &content, &address("ceph"), None).await;
        let copy = address("oss");
        expect(database, &content, &copy).await;
        let seen = pending.list_of(&[content.sha1]).await.unwrap();
        let switch = to(&stored, &copy, true);
        let (counts, is_claimed) =
            tokio::join!(database.relocate(&switch), pending.claim(&seen[0]));
        let counts = counts.unwrap();
        assert!(counts != is_claimed.unwrap());
        let second = find(database, &content).await.second;
        assert_eq!(second, counts.then_some(copy));
    }
}

async fn a_second_place_is_recorded(database: &Database, _: &TestDatabase) {
    let content = some_content();
    let [from, copy, other] = ["ceph", "oss", "oss"].map(address);
    let stored = arrive(database, &content, &from, None).await;
    assert!(switch(database, &to(&stored, &copy, true)).await);
    for (address, is_recorded) in [(from, true), (copy, true), (other, false)] {
        let told = database.is_recorded(&content.sha1, &address).await;
        assert_eq!(told.unwrap(), is_recorded);
    }
}

async fn a_content_with_another_second_place_is_not_withdrawn(
    database: &Database,
    _: &TestDatabase,
) {
    let content = some_content();
    let stored = arrive(database, &content, &address("ceph"), None).await;
    give_up(database, &content).await;
    let copy = address("oss");
    assert!(switch(database, &to(&stored, &copy, true)).await);
    let purging = database.purging();
    let is_withdrawn = purging.withdraw(&stored, at(100), at(100)).await;
    assert!(!is_withdrawn.unwrap(), "the copy would stay");
    let copied = find(database, &content).await;
    let is_withdrawn = purging.withdraw(&copied, at(100), at(100)).await;
    assert!(is_withdrawn.unwrap());
    let shard = Shard::of(&content.sha1);
    let rows = database.contents().find_many(shard, &[content.sha1]).await;
    assert_eq!(
        rows.unwrap(),
        std::slice::from_ref(&copied),
        "it still tells of both"
    );
    assert!(!switch(database, &to(&copied, &address("oss"), false)).await);
    let forget = purging.remove(&content.sha1, Some(&copied.address), &[], at(100));
    forget.await.unwrap();
    let rows = database.contents().find_many(shard, &[content.sha1]).await;
    assert_eq!(rows.unwrap(), []);
}

async fn the_contents_of_a_store_are_listed_and_counted(database: &Database, _: &TestDatabase) {
    let contents = database.contents();
    assert_eq!(contents.count_in_store("a-b").await.unwrap(), (0, 0));
    let mut mine = Vec::new();
    for store in ["a-b", "a-b", "a", "a-b2", "a-b-c", "a-", "a-b"] {
        let stored = arrive(database, &some_content(), &address(store), None).await;
        if store == "a-b" {
            mine.push(stored);
        }
    }
    // What is only copied there does not count, nor what was given up.
    let copied = arrive(database, &some_content(), &address("a"), None).await;
    assert!(switch(database, &to(&copied, &address("a-b"), true)).await);
    let gone = arrive(database, &some_content(), &address("a-b"), None).await;
    give_up(database, &gone.content).await;
    let is_withdrawn = database.purging().withdraw(&gone, at(100), at(100)).await;
    assert!(is_withdrawn.unwrap());

    let bytes = mine.iter().map(|stored| stored.content.size).sum();
    assert_eq!(contents.count_in_store("a-b").await.unwrap(), (3, bytes));
    let mut listed = Vec::new();
    for shard in Shard::all() {
        let mut after = 0;
        while let [(id, stored)] = &contents
            .list_in_store(shard, "a-b", after, 1)
            .await
            .unwrap()[..]
        {
            listed.push(stored.clone());
            after = *id;
        }
    }
    mine.sort_by_key(|stored| (Shard::of(&stored.content.sha1), stored.content.sha1));
    listed.sort_by_key(|stored| (Shard::of(&stored.content.sha1), stored.content.sha1));
    assert_eq!(listed, mine);
}

/// Records an upload at 10 whose bytes are at an address, which is expected to go, and are to be
/// copied to `oss`; gives what the service has then.
async fn arrive(
    database: &Database,
    content: &Content,
    address: &Address,
    lost: Option<&Address>,
) -> StoredContent {
    expect(database, content, address).await;
    let recording = try_arrive(database, content, address, lost).await;
    assert!(
        matches!(recording, RecordOutcome::Recorded { .. }),
        "{recording:?}"
    );
    find(database, content).await
}

async fn try_arrive(
    database: &Database,
    content: &Content,
    address: &Address,
    lost: Option<&Address>,
) -> RecordOutcome {
    let record = UploadRecord {
        owner: &owner("bob"),
        file_name: &"b".parse().unwrap(),
        content_type: &MediaType::default(),
        content,
        address: Some(address),
        is_scheduled: true,
        copy_to: Some(CopyTarget {
            store: "oss",
            keeps_source: true,
        }),
        lost,
        deletion_grace: Duration::from_micros(5),
        session: None,
        quota: Some(Quota::NONE),
        at: at(10),
    };
    database.record(&record).await.unwrap()
}

/// Says that an object is to go at 90 unless a row points at it.
async fn expect(database: &Database, content: &Content, address: &Address) {
    let pending = database.pending_deletions();
    let expect = pending.schedule(&content.sha1, address, at(90));
    expect.await.unwrap();
}

/// Switches to a copy that was expected to go.
async fn switch(database: &Database, switch: &Relocation<'_>) -> bool {
    expect(database, &switch.content.content, switch.to).await;
    database.relocate(switch).await.unwrap()
}

/// Gives the only entry of a content up.
async fn give_up(database: &Database, content: &Content) {
    let (entries, bob) = (database.entries(), owner("bob"));
    let seen = entries.find(&bob, &content.sha1).await.unwrap().unwrap();
    let change = EntryUpdate {
        file_name: seen.meta.file_name.clone(),
        status: None,
        at: at(20),
    };
    assert!(entries.update(&bob, &seen, &change).await.unwrap());
}

/// A copy at 30, what it replaces being due at 70.
fn to<'a>(content: &'a StoredContent, to: &'a Address, keeps_source: bool) -> Relocation<'a> {
    Relocation {
        content,
        to,
        keeps_source,
        job: None,
        transfer: None,
        deletion_due: at(70),
        now: at(30),
    }
}

async fn find(database: &Database, content: &Content) -> StoredContent {
    let found = database.contents().find(&content.sha1).await;
    found.unwrap().unwrap()
}

/// What is to go of a content, and when.
async fn left(database: &Database, content: &Content) -> Vec<(Address, i64)> {
    let left = database
        .pending_deletions()
        .list_of(&[content.sha1])
        .await
        .unwrap();
    left.into_iter()
        .map(|left| (left.address, left.due_at.microseconds()))
        .collect()
}

async fn only_job(database: &Database) -> Job {
    let mut jobs = database.jobs().list_due(at(10), 9).await.unwrap();
    assert_eq!(jobs.len(), 1);
    jobs.remove(0)
}

/// The only job, which somebody holds.
async fn held_job(database: &Database, holder: &str) -> Job {
    let job = only_job(database).await;
    let held = database.jobs().claim(job.id, holder, at(10), at(99)).await;
    held.unwrap().unwrap()
}

/// An address that no other copy has.
fn address(store: &str) -> Address {
    format!("{store}:{}", unique_text()).parse().unwrap()
}
