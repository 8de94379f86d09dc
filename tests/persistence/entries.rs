//! Entries of owners.

use std::num::NonZeroU32;

use domain::{Entry, EntryFilter, EntryUpdate, FileStatus, Position, Timestamp};
use harness::TestDatabase;
use persistence::{Database, Part};

use crate::{on_every_database, owner, record, some_content};

on_every_database! {
    each_owner_sees_only_its_own,
    a_listing_is_ordered_from_new_to_old_even_at_equal_times,
    a_listing_is_consistent_while_files_are_added_and_deleted,
    a_part_of_a_listing_ends_at_the_position_that_is_so_many_entries_away,
    a_search_by_name_ignores_case_and_has_no_wildcards,
    a_batch_is_looked_up_by_contents,
    one_of_two_concurrent_updates_succeeds,
    deleted_entries_are_listed_separately,
}

fn filter(name: Option<&str>) -> EntryFilter {
    EntryFilter {
        status: FileStatus::Available,
        name: name.map(str::to_owned),
        sha1s: None,
    }
}

async fn list(database: &Database, filter: &EntryFilter) -> Vec<String> {
    let (alice, entries) = (owner("alice"), database.entries());
    let all = Part::default();
    names(&entries.list(&alice, filter, all, 100).await.unwrap())
}

fn names(entries: &[Entry]) -> Vec<String> {
    let name = |entry: &Entry| entry.meta.file_name.to_string();
    entries.iter().map(name).collect()
}

async fn each_owner_sees_only_its_own(database: &Database, _: &TestDatabase) {
    let content = some_content();
    record(database, "alice", "a.txt", &content, 1).await;
    record(database, "bob", "b.txt", &content, 2).await;
    // Owners that a database might consider equal.
    for other in ["Alice", "ALICE", "älice", "alice\u{200b}"] {
        let found = database.entries().find(&owner(other), &content.sha1).await;
        assert_eq!(found.unwrap(), None, "{other:?}");
    }
    assert_eq!(list(database, &filter(None)).await, ["a.txt"]);
}

async fn a_listing_is_ordered_from_new_to_old_even_at_equal_times(
    database: &Database,
    _: &TestDatabase,
) {
    for number in 0..10 {
        let moment = 1_700_000_000_000_000 + number / 4;
        record(
            database,
            "alice",
            &format!("{number}"),
            &some_content(),
            moment,
        )
        .await;
    }
    let whole = ["9", "8", "7", "6", "5", "4", "3", "2", "1", "0"];
    assert_eq!(list(database, &filter(None)).await, whole);
    for limit in 1..=4 {
        assert_eq!(
            walk(database, limit, async |_| {}).await,
            whole,
            "by {limit}"
        );
    }
}

async fn a_listing_is_consistent_while_files_are_added_and_deleted(
    database: &Database,
    _: &TestDatabase,
) {
    let mut entries = Vec::new();
    for number in 0..12 {
        let name = format!("{number}");
        entries.push(
            record(database, "alice", &name, &some_content(), number)
                .await
                .0,
        );
    }
    // Before each page, one file is added, and one that is not listed yet is deleted.
    let shown = walk(database, 2, async |page| {
        record(database, "alice", "new", &some_content(), 100 + page).await;
        let doomed = &entries[usize::try_from(page).unwrap()];
        change(database, doomed, "gone", FileStatus::Deleted).await;
    })
    .await;
    assert_eq!(shown, ["new", "11", "10", "9", "8", "7", "6", "5"]);
}

/// All names, page by page; calls `before` before each page.
async fn walk(database: &Database, limit: u64, before: impl AsyncFn(i64)) -> Vec<String> {
    let (mut all, mut after): (Vec<String>, Option<Position>) = (Vec::new(), None);
    for page in 0.. {
        before(page).await;
        let entries = database.entries();
        let rest = Part { after, last: None };
        let found = entries
            .list(&owner("alice"), &filter(None), rest, limit)
            .await
            .unwrap();
        let Some(last) = found.last() else {
            break;
        };
        after = Some(last.position);
        all.extend(names(&found));
    }
    all
}

async fn a_part_of_a_listing_ends_at_the_position_that_is_so_many_entries_away(
    database: &Database,
    _: &TestDatabase,
) {
    // Three entries share each moment.
    for number in 0..12 {
        let moment = 1_700_000_000_000_000 + number / 3;
        record(
            database,
            "alice",
            &format!("{number}"),
            &some_content(),
            moment,
        )
        .await;
        record(
            database,
            "bob",
            &format!("{number}"),
            &some_content(),
            moment,
        )
        .await;
    }
    let (alice, entries) = (owner("alice"), database.entries());
    for count in [1, 2, 3, 4, 5, 12, 13] {
        let (mut after, mut shown) = (None, Vec::new());
        loop {
            let number = NonZeroU32::new(count).unwrap();
            let last = entries
                .find_position(&alice, FileStatus::Available, after, number)
                .await
                .unwrap();
            let part = Part { after, last };
            let found = entries
                .list(&alice, &filter(None), part, 100)
                .await
                .unwrap();
            let expected = if last.is_some() {
                count as usize
            } else {
                (12 - shown.len()).min(count as usize)
            };
            assert_eq!(found.len(), expected, "{count}");
            shown.extend(names(&found));
            after = last;
            if last.is_none() {
                break;
            }
        }
        let all: Vec<String> = (0..12)
            .rev()
            .map(|number: i32| number.to_string())
            .collect();
        assert_eq!(shown, all);
    }
}

async fn a_search_by_name_ignores_case_and_has_no_wildcards(database: &Database, _: &TestDatabase) {
    let all = [
        "Straße ÄÖÜ.txt",
        "100%.txt",
        "100x.txt",
        "a_b",
        "aXb",
        "back!slash",
        "ПРИВЕТ",
    ];
    for (moment, name) in (0..).zip(all) {
        record(database, "alice", name, &some_content(), moment).await;
    }
    for (searched, found) in [
        ("äöü", vec!["Straße ÄÖÜ.txt"]),
        ("привет", vec!["ПРИВЕТ"]),
        ("100%", vec!["100%.txt"]),
        ("A_B", vec!["a_b"]),
        ("!", vec!["back!slash"]),
        ("TXT", vec!["100x.txt", "100%.txt", "Straße ÄÖÜ.txt"]),
        ("'; DROP TABLE tbl_user_file; --", vec![]),
        ("\\", vec![]),
    ] {
        assert_eq!(
            list(database, &filter(Some(searched))).await,
            found,
            "{searched}"
        );
    }
}

async fn a_batch_is_looked_up_by_contents(database: &Database, _: &TestDatabase) {
    let (known, other) = (some_content(), some_content());
    record(database, "alice", "a.txt", &known, 1).await;
    record(database, "alice", "b.txt", &other, 2).await;
    let batch = EntryFilter {
        sha1s: Some(vec![known.sha1, some_content().sha1]),
        ..filter(None)
    };
    assert_eq!(list(database, &batch).await, ["a.txt"]);
}

async fn one_of_two_concurrent_updates_succeeds(database: &Database, _: &TestDatabase) {
    let (entry, ..) = record(database, "alice", "a.txt", &some_content(), 1).await;
    let rename = |name: &str| EntryUpdate {
        file_name: name.parse().unwrap(),
        status: Some(FileStatus::Available),
        at: Timestamp::from_microseconds(9),
    };
    let (alice, entries) = (owner("alice"), database.entries());
    let (b, c) = (rename("b.txt"), rename("c.txt"));
    let (first, second) = futures_util::future::join(
        entries.update(&alice, &entry, &b),
        entries.update(&alice, &entry, &c),
    )
    .await;
    assert!(first.unwrap() ^ second.unwrap());
    let changed = entries
        .find(&alice, &entry.meta.file_sha1)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(changed.version, entry.version + 1);
    assert_eq!(changed.meta.update_at.microseconds(), 9);
}

async fn deleted_entries_are_listed_separately(database: &Database, _: &TestDatabase) {
    let (entry, ..) = record(database, "alice", "a.txt", &some_content(), 1).await;
    record(database, "alice", "b.txt", &some_content(), 2).await;
    change(database, &entry, "a.txt", FileStatus::Deleted).await;
    assert_eq!(list(database, &filter(None)).await, ["b.txt"]);
    let deleted = EntryFilter {
        status: FileStatus::Deleted,
        ..filter(None)
    };
    assert_eq!(list(database, &deleted).await, ["a.txt"]);
}

async fn change(database: &Database, entry: &Entry, name: &str, status: FileStatus) {
    let change = EntryUpdate {
        file_name: name.parse().unwrap(),
        status: Some(status),
        at: Timestamp::EPOCH,
    };
    let entries = database.entries();
    assert!(
        entries
            .update(&owner("alice"), entry, &change)
            .await
            .unwrap()
    );
}
