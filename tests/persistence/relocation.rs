//! Copies in other stores, and the pending deletions that they leave.

use std::time::Duration;

use domain::{Address, Content, EntryUpdate, Job, MediaType, Quota, StoredContent};
use harness::{TestDatabase, unique_text};
use persistence::{CopyTarget, Database, RecordOutcome, Relocation, Shard, UploadRecord};

use crate::{at, on_every_database, owner, record, some_content, transfers::transfer};

on_every_database! {
    a_recorded_upload_cancels_its_deletion_and_creates_a_copy_job,
    a_second_upload_of_a_content_stays_scheduled_for_deletion,
    an_upload_is_recorded_or_its_deletion_is_claimed,
    replaced_copies_are_scheduled_for_deletion,
    a_content_is_relocated,
    a_content_is_copied_and_then_relocated,
    an_existing_second_copy_becomes_the_first,
    a_job_claimed_by_another_worker_changes_nothing,
    one_of_two_copies_counts,
    a_content_is_relocated_or_withdrawn,
    a_copy_whose_deletion_is_claimed_does_not_count,
    a_copy_counts_or_its_deletion_is_claimed,
    a_second_copy_is_recorded,
    a_content_with_an_unseen_second_copy_is_not_withdrawn,
    the_contents_of_a_store_are_listed_and_counted,
}

async fn a_recorded_upload_cancels_its_deletion_and_creates_a_copy_job(
    database: &Database,
    _: &TestDatabase,
) {
    let content = some_content();
    let [first, unrelated] = [(); 2].map(|()| address("ceph"));
    schedule(database, &content, &unrelated).await;
    let stored = upload(database, &content, &first, None).await;
    assert_eq!(stored.address, first);
    assert_eq!(pending(database, &content).await, [(unrelated, 90)]);
    let jobs = database.jobs().list_due(at(10), 9).await.unwrap();
    let [job] = &jobs[..] else { panic!("{jobs:?}") };
    assert_eq!((job.from.as_str(), job.to.as_str()), ("ceph", "oss"));
    assert_eq!(
        (job.sha1, job.size, job.keeps_source, job.transfer),
        (content.sha1, content.size, true, None)
    );
    assert_eq!((job.due_at, job.create_at), (at(10), at(10)));

    // A content that is in the target store already is not copied.
    upload(database, &some_content(), &address("oss"), None).await;
    assert_eq!(database.jobs().counts().await.unwrap().waiting, 1);
}

async fn a_second_upload_of_a_content_stays_scheduled_for_deletion(
    database: &Database,
    _: &TestDatabase,
) {
    let content = some_content();
    let [first, second] = [(); 2].map(|()| address("ceph"));
    record(database, "alice", "a", &content, 1).await;
    for address in [&first, &second] {
        let stored = upload(database, &content, address, None).await;
        assert_ne!(stored.address, *address);
    }
    assert_eq!(
        pending(database, &content).await,
        [(first, 90), (second, 90)]
    );
    assert_eq!(database.jobs().counts().await.unwrap().waiting, 0);
}

async fn an_upload_is_recorded_or_its_deletion_is_claimed(database: &Database, _: &TestDatabase) {
    let pending = database.pending_deletions();
    for _ in 0..10 {
        let (content, address) = (some_content(), address("ceph"));
        schedule(database, &content, &address).await;
        let seen = pending.list_of(&[content.sha1]).await.unwrap();
        let (recording, is_claimed) = tokio::join!(
            try_upload(database, &content, &address, None),
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

async fn replaced_copies_are_scheduled_for_deletion(database: &Database, _: &TestDatabase) {
    let content = some_content();
    let [first, again] = [(); 2].map(|()| address("ceph"));
    let second = address("oss");
    let stored = upload(database, &content, &first, None).await;
    let job = only_job(database).await;
    assert!(relocate(database, &to(&stored, &second, true)).await);
    let jobs = database.jobs();
    let held = jobs.claim(job.id, "a", at(11), at(99)).await.unwrap();
    assert!(held.is_some());

    let stored = upload(database, &content, &again, Some(&first)).await;
    assert_eq!((stored.address, stored.second), (again, None));
    assert_eq!(
        pending(database, &content).await,
        [(second, 15), (first, 15)]
    );
    // The job now refers to other bytes: its former worker cannot finish it.
    assert!(!jobs.finish(job.id, "a").await.unwrap());
    let restarted = jobs.find(job.id).await.unwrap().unwrap();
    assert_eq!((restarted.due_at, restarted.attempts), (at(10), 0));
}

async fn a_content_is_relocated(database: &Database, _: &TestDatabase) {
    let content = some_content();
    let [from, target] = [address("ceph"), address("oss")];
    let stored = upload(database, &content, &from, None).await;
    let job = claimed_job(database, "a").await;
    let transfer = transfer(1);
    database.transfers().insert(&transfer).await.unwrap();
    let made = Relocation {
        job: Some((job.id, "a")),
        transfer: Some(transfer.id),
        ..to(&stored, &target, false)
    };
    assert!(relocate(database, &made).await);
    let moved = find(database, &content).await;
    assert_eq!((&moved.address, &moved.second), (&target, &None));
    assert_eq!(pending(database, &content).await, [(from, 70)]);
    assert_eq!(database.jobs().find(job.id).await.unwrap(), None);
    let counted = database.transfers().find(transfer.id).await.unwrap();
    let counted = counted.unwrap();
    assert_eq!(
        (counted.copied_files, counted.copied_bytes),
        (1, content.size)
    );
    // The content is no longer at the address that was seen.
    let again = Relocation { job: None, ..made };
    assert!(!relocate(database, &again).await);
    let unknown = StoredContent {
        content: some_content(),
        ..moved.clone()
    };
    assert!(!relocate(database, &to(&unknown, &target, false)).await);
    assert_eq!(find(database, &content).await, moved);
    let counted_now = database.transfers().find(transfer.id).await.unwrap();
    assert_eq!(counted_now, Some(counted));
}

async fn a_content_is_copied_and_then_relocated(database: &Database, _: &TestDatabase) {
    let content = some_content();
    let [from, elsewhere] = [address("ceph"), address("elsewhere")];
    let [copy, newer, newest] = [(); 3].map(|()| address("oss"));
    let stored = upload(database, &content, &from, None).await;
    for (copy, left_over) in [(&copy, vec![]), (&newer, vec![(copy.clone(), 70)])] {
        assert!(relocate(database, &to(&stored, copy, true)).await);
        let copied = find(database, &content).await;
        assert_eq!(copied.address, from);
        assert_eq!(copied.second.as_ref(), Some(copy));
        assert_eq!(pending(database, &content).await, left_over);
    }
    // The second copy stays when the first one moves to another store.
    assert!(relocate(database, &to(&stored, &elsewhere, false)).await);
    let moved = find(database, &content).await;
    assert_eq!(moved.address, elsewhere);
    assert_eq!(moved.second.as_ref(), Some(&newer));
    // A store never has two copies of the same content.
    assert!(relocate(database, &to(&moved, &newest, false)).await);
    let moved = find(database, &content).await;
    assert_eq!((moved.address, moved.second), (newest, None));
    assert_eq!(
        pending(database, &content).await,
        [(copy, 70), (from, 70), (elsewhere, 70), (newer, 70)]
    );
}

async fn an_existing_second_copy_becomes_the_first(database: &Database, _: &TestDatabase) {
    let content = some_content();
    let [from, copy] = [address("ceph"), address("oss")];
    let stored = upload(database, &content, &from, None).await;
    assert!(relocate(database, &to(&stored, &copy, true)).await);
    let copied = find(database, &content).await;
    // Its deletion is not pending.
    let is_moved = database.relocate(&to(&copied, &copy, false)).await;
    assert!(is_moved.unwrap());
    let moved = find(database, &content).await;
    assert_eq!((moved.address, moved.second), (copy, None));
    assert_eq!(pending(database, &content).await, [(from, 70)]);
}

async fn a_job_claimed_by_another_worker_changes_nothing(database: &Database, _: &TestDatabase) {
    let content = some_content();
    let [from, copy] = [address("ceph"), address("oss")];
    let stored = upload(database, &content, &from, None).await;
    schedule(database, &content, &copy).await;
    let transfer = transfer(1);
    database.transfers().insert(&transfer).await.unwrap();
    let job = claimed_job(database, "another").await;
    for job in [(job.id, "a"), (job.id + 1, "another")] {
        let relocation = Relocation {
            job: Some(job),
            transfer: Some(transfer.id),
            ..to(&stored, &copy, false)
        };
        assert!(!database.relocate(&relocation).await.unwrap());
    }
    assert_eq!(find(database, &content).await, stored);
    assert_eq!(pending(database, &content).await, [(copy, 90)]);
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
        let stored = upload(database, &content, &from, None).await;
        let copies = [(); 2].map(|()| address("oss"));
        for copy in &copies {
            schedule(database, &content, copy).await;
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
        let uncounted = copies[usize::from(first)].clone();
        assert_eq!(
            pending(database, &content).await,
            [(uncounted, 90), (from, 70)]
        );
        let counted = database.transfers().find(transfer.id).await.unwrap();
        assert_eq!(counted.unwrap().copied_files, round);
    }
}

async fn a_content_is_relocated_or_withdrawn(database: &Database, _: &TestDatabase) {
    for _ in 0..10 {
        let content = some_content();
        let stored = upload(database, &content, &address("ceph"), None).await;
        mark_for_purge(database, &content).await;
        let copy = address("oss");
        schedule(database, &content, &copy).await;
        let (relocation, purging) = (to(&stored, &copy, false), database.purging());
        let (is_moved, is_withdrawn) = tokio::join!(
            database.relocate(&relocation),
            purging.withdraw(&stored, at(100), at(100)),
        );
        let is_moved = is_moved.unwrap();
        assert!(is_moved != is_withdrawn.unwrap());
        let found = database.contents().find(&content.sha1).await.unwrap();
        assert_eq!(found.map(|found| found.address), is_moved.then_some(copy));
    }
}

async fn a_copy_whose_deletion_is_claimed_does_not_count(database: &Database, _: &TestDatabase) {
    let content = some_content();
    let stored = upload(database, &content, &address("ceph"), None).await;
    let copy = address("oss");
    let relocation = to(&stored, &copy, false);
    assert!(
        !database.relocate(&relocation).await.unwrap(),
        "no deletion is pending"
    );
    schedule(database, &content, &copy).await;
    let pending = database.pending_deletions();
    let due = pending.list_due(at(90), None, 9).await.unwrap();
    let postponed = pending.postpone(&content.sha1, &copy, at(95)).await;
    assert!(postponed.unwrap());
    assert!(!pending.claim(&due[0]).await.unwrap(), "postponed since");
    let due = pending.list_due(at(95), None, 9).await.unwrap();
    assert!(pending.claim(&due[0]).await.unwrap());
    let postponed = pending.postpone(&content.sha1, &copy, at(99)).await;
    assert!(!postponed.unwrap());
    assert!(!database.relocate(&relocation).await.unwrap());
    assert_eq!(find(database, &content).await, stored);
    // After a crash the claimed deletion is listed and claimed again.
    let due = pending.list_due(at(1), None, 9).await.unwrap();
    assert_eq!(due.len(), 1);
    assert!(pending.claim(&due[0]).await.unwrap());
}

async fn a_copy_counts_or_its_deletion_is_claimed(database: &Database, _: &TestDatabase) {
    let pending = database.pending_deletions();
    for _ in 0..10 {
        let content = some_content();
        let stored = upload(database, &content, &address("ceph"), None).await;
        let copy = address("oss");
        schedule(database, &content, &copy).await;
        let seen = pending.list_of(&[content.sha1]).await.unwrap();
        let relocation = to(&stored, &copy, true);
        let (counts, is_claimed) =
            tokio::join!(database.relocate(&relocation), pending.claim(&seen[0]));
        let counts = counts.unwrap();
        assert!(counts != is_claimed.unwrap());
        let second = find(database, &content).await.second;
        assert_eq!(second, counts.then_some(copy));
    }
}

async fn a_second_copy_is_recorded(database: &Database, _: &TestDatabase) {
    let content = some_content();
    let [from, copy, other] = ["ceph", "oss", "oss"].map(address);
    let stored = upload(database, &content, &from, None).await;
    assert!(relocate(database, &to(&stored, &copy, true)).await);
    for (address, is_recorded) in [(from, true), (copy, true), (other, false)] {
        let told = database.is_recorded(&content.sha1, &address).await;
        assert_eq!(told.unwrap(), is_recorded);
    }
}

async fn a_content_with_an_unseen_second_copy_is_not_withdrawn(
    database: &Database,
    _: &TestDatabase,
) {
    let content = some_content();
    let stored = upload(database, &content, &address("ceph"), None).await;
    mark_for_purge(database, &content).await;
    let copy = address("oss");
    assert!(relocate(database, &to(&stored, &copy, true)).await);
    let purging = database.purging();
    let is_withdrawn = purging.withdraw(&stored, at(100), at(100)).await;
    assert!(!is_withdrawn.unwrap(), "its second copy was not seen");
    let copied = find(database, &content).await;
    let is_withdrawn = purging.withdraw(&copied, at(100), at(100)).await;
    assert!(is_withdrawn.unwrap());
    let shard = Shard::of(&content.sha1);
    let rows = database.contents().find_many(shard, &[content.sha1]).await;
    assert_eq!(
        rows.unwrap(),
        std::slice::from_ref(&copied),
        "the row still has both addresses"
    );
    assert!(!relocate(database, &to(&copied, &address("oss"), false)).await);
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
        let stored = upload(database, &some_content(), &address(store), None).await;
        if store == "a-b" {
            mine.push(stored);
        }
    }
    // A content whose second copy is in the store does not count, and neither does a withdrawn one.
    let copied = upload(database, &some_content(), &address("a"), None).await;
    assert!(relocate(database, &to(&copied, &address("a-b"), true)).await);
    let gone = upload(database, &some_content(), &address("a-b"), None).await;
    mark_for_purge(database, &gone.content).await;
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

/// Records an upload at 10 whose bytes are at an address that is scheduled for deletion, and are to
/// be copied to `oss`; returns the stored content.
async fn upload(
    database: &Database,
    content: &Content,
    address: &Address,
    lost: Option<&Address>,
) -> StoredContent {
    schedule(database, content, address).await;
    let recording = try_upload(database, content, address, lost).await;
    assert!(
        matches!(recording, RecordOutcome::Recorded { .. }),
        "{recording:?}"
    );
    find(database, content).await
}

async fn try_upload(
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
        checksums: None,
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

/// Schedules the deletion of an object at 90.
async fn schedule(database: &Database, content: &Content, address: &Address) {
    let pending = database.pending_deletions();
    let schedule = pending.schedule(&content.sha1, address, at(90));
    schedule.await.unwrap();
}

/// Relocates a content to a copy that is scheduled for deletion.
async fn relocate(database: &Database, relocation: &Relocation<'_>) -> bool {
    schedule(database, &relocation.content.content, relocation.to).await;
    database.relocate(relocation).await.unwrap()
}

/// Marks the only entry of a content for the purge.
async fn mark_for_purge(database: &Database, content: &Content) {
    let (entries, bob) = (database.entries(), owner("bob"));
    let seen = entries.find(&bob, &content.sha1).await.unwrap().unwrap();
    let change = EntryUpdate {
        file_name: seen.meta.file_name.clone(),
        status: None,
        at: at(20),
    };
    assert!(entries.update(&bob, &seen, &change).await.unwrap());
}

/// A relocation at 30; replaced copies are due for deletion at 70.
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

/// The pending deletions of a content's objects: address and due time.
async fn pending(database: &Database, content: &Content) -> Vec<(Address, i64)> {
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

/// The only job, claimed by `holder`.
async fn claimed_job(database: &Database, holder: &str) -> Job {
    let job = only_job(database).await;
    let held = database.jobs().claim(job.id, holder, at(10), at(99)).await;
    held.unwrap().unwrap()
}

/// A new address, used by no other copy.
fn address(store: &str) -> Address {
    format!("{store}:{}", unique_text()).parse().unwrap()
}
