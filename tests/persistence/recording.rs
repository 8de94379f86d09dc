//! Recording uploads.

use std::time::Duration;

use domain::{Content, EntryOutcome, EntryUpdate, FileStatus, MediaType, Quota, Timestamp};
use futures_util::future::join_all;
use harness::{Kind, TestDatabase, digests};
use persistence::{Database, RecordOutcome, UploadRecord};

use crate::{on_every_database, owner, record, some_address, some_content};

on_every_database! {
    a_content_is_stored_in_the_table_of_its_last_two_digits,
    concurrent_uploads_make_one_content_and_one_entry_for_each_owner,
    concurrent_uploads_of_one_owner_do_not_block_each_other,
    an_entry_keeps_its_name_until_it_is_deleted,
    a_purged_entry_can_be_uploaded_again,
    another_content_of_the_same_sha1_is_a_collision,
    an_upload_without_bytes_of_an_unknown_content_is_refused,
    a_content_that_is_being_purged_can_be_uploaded_again,
    the_outcome_of_a_commit_can_be_determined,
}

async fn a_content_is_stored_in_the_table_of_its_last_two_digits(
    database: &Database,
    place: &TestDatabase,
) {
    let content = digests(b"hello world");
    let (_, _, address) = record(database, "alice", "数据 🚀.txt", &content, 5).await;
    let row = "SELECT file_sha1, file_name, file_size, create_at, status FROM tbl_ed";
    let separator = if place.kind() == Kind::MariaDb {
        "\t"
    } else {
        "|"
    };
    assert_eq!(
        place.sql(row).trim().split(separator).collect::<Vec<_>>(),
        [
            "2aae6c35c94fcfb415dbe95f408b9ce91ee846ed",
            "数据 🚀.txt",
            "11",
            "5",
            "0"
        ]
    );
    let stored = database
        .contents()
        .find(&content.sha1)
        .await
        .unwrap()
        .unwrap();
    assert_eq!((stored.content, stored.address), (content, address));
}

async fn concurrent_uploads_make_one_content_and_one_entry_for_each_owner(
    database: &Database,
    _: &TestDatabase,
) {
    for _ in 0..5 {
        let content = some_content();
        let uploads = (0..32).map(|upload| {
            let (database, owner) = (database.clone(), format!("owner {}", upload % 8));
            tokio::spawn(async move {
                let recorded = record(&database, &owner, "a.txt", &content, upload).await;
                (owner, recorded)
            })
        });
        let mut recorded = Vec::new();
        for upload in join_all(uploads).await {
            recorded.push(upload.unwrap());
        }
        let (_, (_, _, address)) = &recorded[0];
        assert!(recorded.iter().all(|(_, (_, _, other))| other == address));
        for number in 0..8 {
            let name = format!("owner {number}");
            let its = recorded.iter().filter(|(owner, _)| *owner == name);
            let new = its.filter(|(_, (_, outcome, _))| *outcome == EntryOutcome::Created);
            assert_eq!(new.count(), 1, "{name} has one entry");
        }
        let contents = database.contents();
        let shard = persistence::Shard::of(&content.sha1);
        let rows = contents.find_many(shard, &[content.sha1]).await.unwrap();
        assert_eq!(rows.len(), 1);
    }
}

async fn concurrent_uploads_of_one_owner_do_not_block_each_other(
    database: &Database,
    _: &TestDatabase,
) {
    let uploads = (0..100).map(|upload| {
        let database = database.clone();
        tokio::spawn(
            async move { record(&database, "alice", "a.txt", &some_content(), upload).await },
        )
    });
    for upload in join_all(uploads).await {
        let (_, outcome, _) = upload.unwrap();
        assert_eq!(outcome, EntryOutcome::Created);
    }
}

async fn an_entry_keeps_its_name_until_it_is_deleted(database: &Database, _: &TestDatabase) {
    let content = some_content();
    let (first, outcome, _) = record(database, "alice", "first.txt", &content, 1).await;
    assert_eq!(outcome, EntryOutcome::Created);
    let (second, outcome, _) = record(database, "alice", "second.txt", &content, 2).await;
    assert_eq!((&second, outcome), (&first, EntryOutcome::Existing));

    change(database, &first, Some(FileStatus::Deleted)).await;
    let (third, outcome, _) = record(database, "alice", "third.txt", &content, 3).await;
    assert_eq!(outcome, EntryOutcome::Restored);
    assert_eq!(third.meta.file_name.as_str(), "third.txt");
    assert_eq!(third.meta.upload_at.microseconds(), 3);
    assert_eq!(third.version, first.version + 2);
    let found = database
        .entries()
        .find(&owner("alice"), &content.sha1)
        .await
        .unwrap();
    assert_eq!(found, Some(third));
}

async fn a_purged_entry_can_be_uploaded_again(database: &Database, _: &TestDatabase) {
    let content = some_content();
    let (entry, ..) = record(database, "alice", "a.txt", &content, 1).await;
    change(database, &entry, None).await;
    let entries = database.entries();
    assert_eq!(
        entries.find(&owner("alice"), &content.sha1).await.unwrap(),
        None
    );
    let (_, outcome, _) = record(database, "alice", "b.txt", &content, 2).await;
    assert_eq!(outcome, EntryOutcome::Restored);
    assert!(
        entries
            .find(&owner("alice"), &content.sha1)
            .await
            .unwrap()
            .is_some()
    );
}

async fn another_content_of_the_same_sha1_is_a_collision(database: &Database, _: &TestDatabase) {
    let content = some_content();
    record(database, "alice", "a.txt", &content, 1).await;
    for other in [
        Content {
            sha256: [1; 32].into(),
            ..content
        },
        Content {
            size: content.size + 1,
            ..content
        },
    ] {
        for address in [None, Some(some_address())] {
            let upload = UploadRecord {
                owner: &owner("bob"),
                file_name: &"b.txt".parse().unwrap(),
                content_type: &MediaType::default(),
                content: &other,
                checksums: None,
                address: address.as_ref(),
                is_scheduled: false,
                copy_to: None,
                lost: None,
                deletion_grace: Duration::ZERO,
                session: None,
                quota: Some(Quota::NONE),
                at: Timestamp::EPOCH,
            };
            let recording = database.record(&upload).await.unwrap();
            assert!(
                matches!(recording, RecordOutcome::Collision),
                "{recording:?}"
            );
        }
    }
    let entries = database.entries();
    assert_eq!(
        entries.find(&owner("bob"), &content.sha1).await.unwrap(),
        None
    );
}

async fn an_upload_without_bytes_of_an_unknown_content_is_refused(
    database: &Database,
    _: &TestDatabase,
) {
    let content = some_content();
    let (who, name, kind) = (
        owner("alice"),
        "a.txt".parse().unwrap(),
        MediaType::default(),
    );
    let upload = UploadRecord {
        owner: &who,
        file_name: &name,
        content_type: &kind,
        content: &content,
        checksums: None,
        address: None,
        is_scheduled: false,
        copy_to: None,
        lost: None,
        deletion_grace: Duration::ZERO,
        session: None,
        quota: Some(Quota::NONE),
        at: Timestamp::EPOCH,
    };
    let recording = database.record(&upload).await.unwrap();
    assert!(
        matches!(recording, RecordOutcome::ContentMissing),
        "{recording:?}"
    );
    assert_eq!(
        database.entries().find(&who, &content.sha1).await.unwrap(),
        None
    );

    record(database, "bob", "b.txt", &content, 1).await;
    let recording = database.record(&upload).await.unwrap();
    assert!(
        matches!(
            recording,
            RecordOutcome::Recorded {
                outcome: EntryOutcome::Created,
                ..
            }
        ),
        "{recording:?}"
    );
}

async fn a_content_that_is_being_purged_can_be_uploaded_again(
    database: &Database,
    place: &TestDatabase,
) {
    let content = digests(b"hello world");
    let (_, _, old) = record(database, "alice", "a.txt", &content, 1).await;
    let _ = place.sql("UPDATE tbl_ed SET status = 2");
    assert_eq!(database.contents().find(&content.sha1).await.unwrap(), None);
    let (_, _, new) = record(database, "bob", "b.txt", &content, 2).await;
    assert_ne!(old, new);
    let stored = database
        .contents()
        .find(&content.sha1)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(stored.address, new);
}

async fn the_outcome_of_a_commit_can_be_determined(database: &Database, _: &TestDatabase) {
    let content = some_content();
    let (_, _, address) = record(database, "alice", "a.txt", &content, 1).await;
    let unknown = some_content();
    let elsewhere = some_address();
    for (content, address, is_recorded) in [
        (&content, &address, true),
        (&content, &elsewhere, false),
        (&unknown, &elsewhere, false),
    ] {
        let told = database.is_recorded(&content.sha1, address).await;
        assert_eq!(told.unwrap(), is_recorded);
    }
    // The question has left no row behind.
    let shard = persistence::Shard::of(&unknown.sha1);
    let rows = database
        .contents()
        .find_many(shard, &[unknown.sha1])
        .await
        .unwrap();
    assert!(rows.is_empty());
    let (_, outcome, _) = record(database, "bob", "b.txt", &unknown, 2).await;
    assert_eq!(outcome, EntryOutcome::Created);
}

async fn change(database: &Database, entry: &domain::Entry, status: Option<FileStatus>) {
    let change = EntryUpdate {
        file_name: entry.meta.file_name.clone(),
        status,
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
