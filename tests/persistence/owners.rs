//! What owners have besides their entries (counts, quotas, links, tokens), and the purge of
//! contents without an owner.

use std::time::Duration;

use domain::{
    ByteRange, EntryOutcome, EntryUpdate, FileStatus, Limit, Link, MediaType, OwnQuota, Owner,
    Quota, Sha256, Timestamp, Token, Visit,
};
use futures_util::future::join_all;
use harness::TestDatabase;
use persistence::{Charge, Database, Error, RecordOutcome, UploadRecord};

use crate::{on_every_database, options, owner, record, some_address, some_content, some_id};

on_every_database! {
    the_migration_that_adds_counts_counts_existing_files,
    a_file_beyond_the_quota_leaves_nothing_behind,
    wrong_counts_are_found_and_corrected,
    a_content_is_withdrawn_when_it_has_no_entry,
    a_content_that_is_uploaded_again_is_not_removed,
    a_link_works_while_its_owner_has_the_file,
    a_token_is_found_by_its_hash_and_its_use_is_recorded_once_a_minute,
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_microseconds(second * 1_000_000)
}

/// Updates an owner's entry to a status, or marks it for the purge.
async fn change(database: &Database, who: &Owner, sha1: &domain::Sha1, to: Option<FileStatus>) {
    let entries = database.entries();
    let seen = entries.find(who, sha1).await.unwrap().unwrap();
    let change = EntryUpdate {
        file_name: seen.meta.file_name.clone(),
        status: to,
        at: at(10),
    };
    assert!(entries.update(who, &seen, &change).await.unwrap());
}

async fn the_migration_that_adds_counts_counts_existing_files(
    database: &Database,
    place: &TestDatabase,
) {
    let (first, second) = (some_content(), some_content());
    record(database, "alice", "a", &first, 1).await;
    record(database, "alice", "b", &second, 1).await;
    record(database, "bob", "b", &second, 1).await;
    change(database, &owner("bob"), &second.sha1, None).await;
    let schema = Database::schema(&options(place)).await.unwrap();
    let steps = schema.steps().await.unwrap();
    let later = steps
        .iter()
        .skip_while(|(name, _)| !name.contains("create_owners"));
    let later = u32::try_from(later.count()).unwrap();
    assert!(later > 0);
    schema.down(later).await.unwrap();
    schema.up().await.unwrap();
    schema.close().await;
    let usage = async |who: &str| database.accounts().find(&owner(who)).await.unwrap().usage;
    let alices = usage("alice").await;
    assert_eq!((alices.bytes, alices.files), (first.size + second.size, 2));
    assert_eq!(usage("bob").await.files, 0);
}

async fn a_file_beyond_the_quota_leaves_nothing_behind(database: &Database, _: &TestDatabase) {
    let alice = owner("alice");
    let contents: Vec<_> = (0..12).map(|_| some_content()).collect();
    let quota = Quota {
        files: Some(5),
        ..Quota::NONE
    };
    let uploads = contents.iter().map(|content| {
        let alice = &alice;
        async move {
            let address = some_address();
            let record = UploadRecord {
                owner: alice,
                file_name: &"a".parse().unwrap(),
                content_type: &MediaType::default(),
                content,
                checksums: None,
                address: Some(&address),
                is_scheduled: false,
                copy_to: None,
                lost: None,
                deletion_grace: Duration::ZERO,
                session: None,
                quota: Some(quota),
                at: at(1),
            };
            database.record(&record).await
        }
    });
    let mut taken = 0;
    for (recording, content) in join_all(uploads).await.into_iter().zip(&contents) {
        let found = database.contents().find(&content.sha1).await.unwrap();
        match recording {
            Ok(RecordOutcome::Recorded { outcome, .. }) => {
                assert_eq!(outcome, EntryOutcome::Created);
                taken += 1;
            }
            Err(Error::QuotaFull(_)) => assert_eq!(found, None),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(taken, 5);
    let account = database.accounts().find(&alice).await.unwrap();
    assert_eq!(account.usage.files, 5);
    // An owner's own quota takes precedence over the default quota.
    let more = OwnQuota {
        files: Some(Limit::AtMost(7)),
        ..OwnQuota::default()
    };
    database.accounts().set_quota(&alice, &more).await.unwrap();
    let account = database.accounts().find(&alice).await.unwrap();
    assert_eq!(account.own.over(&quota).files, Some(7));
    assert_eq!(account.usage.files, 5);
}

async fn wrong_counts_are_found_and_corrected(database: &Database, place: &TestDatabase) {
    let (alice, content) = (owner("alice"), some_content());
    record(database, "alice", "a", &content, 1).await;
    let accounts = database.accounts();
    assert_eq!(accounts.audit(&alice).await.unwrap(), None);
    for wrong in [
        "UPDATE tbl_usage SET bytes = -1, files = -1",
        "DELETE FROM tbl_usage",
    ] {
        let _ = place.sql(wrong);
        // A negative count is read as zero, and blocks no upload.
        assert_eq!(accounts.find(&alice).await.unwrap().usage.bytes, 0);
        assert_eq!(
            accounts.next_owner(None).await.unwrap(),
            Some(alice.clone())
        );
        let miscount = accounts.audit(&alice).await.unwrap().unwrap();
        assert_eq!(miscount.found, (content.size.cast_signed(), 1));
        assert!(accounts.recount(&alice).await.unwrap().is_some());
        assert_eq!(accounts.audit(&alice).await.unwrap(), None);
    }
    assert_eq!(accounts.next_owner(Some(&alice)).await.unwrap(), None);
}

async fn a_content_is_withdrawn_when_it_has_no_entry(database: &Database, _: &TestDatabase) {
    let content = some_content();
    let (_, _, address) = record(database, "alice", "a", &content, 1).await;
    record(database, "bob", "b", &content, 1).await;
    let row = database
        .contents()
        .find(&content.sha1)
        .await
        .unwrap()
        .unwrap();
    let purging = database.purging();
    let withdraw = || purging.withdraw(&row, at(100), at(100));
    assert!(!withdraw().await.unwrap());
    change(database, &owner("alice"), &content.sha1, None).await;
    change(
        database,
        &owner("bob"),
        &content.sha1,
        Some(FileStatus::Deleted),
    )
    .await;
    assert!(!withdraw().await.unwrap(), "it can be restored");
    change(database, &owner("bob"), &content.sha1, None).await;
    let in_grace = purging.withdraw(&row, at(10), at(100)).await;
    assert!(!in_grace.unwrap(), "it was marked within the grace period");
    assert!(withdraw().await.unwrap());
    assert!(withdraw().await.unwrap(), "and again, after a crash");
    assert_eq!(database.contents().find(&content.sha1).await.unwrap(), None);
    let listed = purging.list(at(100), None, 10).await.unwrap();
    let ids: Vec<i64> = listed.iter().map(|(_, id, _)| *id).collect();
    assert_eq!(ids.len(), 2);
    let forget = purging.remove(&content.sha1, Some(&address), &ids, at(100));
    forget.await.unwrap();
    assert_eq!(purging.list(at(100), None, 10).await.unwrap(), []);
}

async fn a_content_that_is_uploaded_again_is_not_removed(database: &Database, _: &TestDatabase) {
    let content = some_content();
    let (_, _, old) = record(database, "alice", "a", &content, 1).await;
    change(database, &owner("alice"), &content.sha1, None).await;
    let purging = database.purging();
    let listed = purging.list(at(100), None, 10).await.unwrap();
    let row = database
        .contents()
        .find(&content.sha1)
        .await
        .unwrap()
        .unwrap();
    assert!(purging.withdraw(&row, at(100), at(100)).await.unwrap());
    // Before the bytes are deleted, another upload brings them again.
    let (_, _, new) = record(database, "alice", "again", &content, 101).await;
    assert_ne!(old, new);
    let ids = [listed[0].1];
    let forget = purging.remove(&content.sha1, Some(&old), &ids, at(100));
    forget.await.unwrap();
    let row = database
        .contents()
        .find(&content.sha1)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(row.address, new);
    let entry = database
        .entries()
        .find(&owner("alice"), &content.sha1)
        .await
        .unwrap();
    assert_eq!(entry.unwrap().meta.file_name.as_str(), "again");
    let usage = database
        .accounts()
        .find(&owner("alice"))
        .await
        .unwrap()
        .usage;
    assert_eq!((usage.bytes, usage.files), (content.size, 1));
}

/// The whole file was charged to the visit, whose link is used up.
async fn unsent_bytes_are_given_back(database: &Database, visit: &Visit, size: u64) {
    let whole = [ByteRange::whole(size)];
    let again = Charge {
        link: visit.link,
        visitor: visit.visitor,
        ranges: &whole,
        size,
        continues: false,
        since: at(1),
        now: at(3),
    };
    let visits = database.visits();
    assert!(!visits.would_continue(&again).await.unwrap());
    assert_eq!(visits.charge(&again).await.unwrap(), None);
    let older = Visit {
        number: visit.number - 1,
        ..*visit
    };
    for (visit, continued) in [(&older, false), (visit, true)] {
        let given = (whole[0], 0);
        visits.give_back(visit, given, size, at(3)).await.unwrap();
        assert_eq!(visits.would_continue(&again).await.unwrap(), continued);
    }
    assert_eq!(visits.charge(&again).await.unwrap(), Some(*visit));
    visits.remove_unused(at(3)).await.unwrap();
    let [later, none] = [
        Charge {
            since: at(2),
            ranges: &[],
            ..again
        },
        Charge {
            since: at(3),
            ranges: &[],
            ..again
        },
    ];
    assert!(visits.would_continue(&later).await.unwrap());
    assert!(!visits.would_continue(&none).await.unwrap());
    visits.remove_unused(at(4)).await.unwrap();
    assert!(!visits.would_continue(&later).await.unwrap());
}

async fn a_link_works_while_its_owner_has_the_file(database: &Database, _: &TestDatabase) {
    let content = some_content();
    record(database, "alice", "a", &content, 1).await;
    let link = |who: &str| Link {
        id: some_id(),
        owner: owner(who),
        file_sha1: content.sha1,
        inline: true,
        max_downloads: Some(3),
        downloads: 0,
        create_at: at(1),
        expires_at: at(50),
    };
    let links = database.links();
    assert!(!links.insert(&link("bob")).await.unwrap());
    let alices = link("alice");
    assert!(links.insert(&alices).await.unwrap());
    assert_eq!(
        links.find(alices.id, at(49)).await.unwrap(),
        Some(alices.clone())
    );
    assert_eq!(links.find(alices.id, at(50)).await.unwrap(), None);
    let visitors: Vec<_> = (0..9).map(|_| some_id()).collect();
    let whole = [ByteRange::whole(content.size)];
    let visits = visitors.iter().map(|visitor| {
        let charge = Charge {
            link: alices.id,
            visitor: *visitor,
            ranges: &whole,
            size: content.size,
            continues: false,
            since: at(1),
            now: at(2),
        };
        async move { database.visits().charge(&charge).await }
    });
    let visits = join_all(visits).await;
    let mut visits: Vec<_> = visits.into_iter().filter_map(Result::unwrap).collect();
    visits.sort_by_key(|visit| visit.number);
    let numbers: Vec<_> = visits.iter().map(|visit| visit.number).collect();
    assert_eq!(numbers, [1, 2, 3]);
    let used_up = links.find(alices.id, at(2)).await.unwrap().unwrap();
    assert!(used_up.is_used_up());
    unsent_bytes_are_given_back(database, &visits[1], content.size).await;
    let second = link("alice");
    assert!(links.insert(&second).await.unwrap());
    change(
        database,
        &owner("alice"),
        &content.sha1,
        Some(FileStatus::Deleted),
    )
    .await;
    assert!(!links.insert(&link("alice")).await.unwrap());
    change(
        database,
        &owner("alice"),
        &content.sha1,
        Some(FileStatus::Available),
    )
    .await;
    assert_eq!(links.find(second.id, at(2)).await.unwrap(), None);
}

async fn a_token_is_found_by_its_hash_and_its_use_is_recorded_once_a_minute(
    database: &Database,
    _: &TestDatabase,
) {
    let token = Token {
        id: some_id(),
        hash: Sha256::from([7; 32]),
        owner: owner("alice"),
        scopes: "files:read admin".parse().unwrap(),
        label: "数据".to_owned(),
        create_at: at(1),
        expires_at: None,
        used_at: None,
        revoke_at: None,
    };
    let tokens = database.tokens();
    tokens.insert(&token).await.unwrap();
    assert_eq!(tokens.find(&token.hash).await.unwrap(), Some(token.clone()));
    assert_eq!(tokens.find(&Sha256::from([8; 32])).await.unwrap(), None);
    let note = async |second: i64| {
        let now = at(second);
        let before = now.before(Duration::from_mins(1));
        tokens.note_use(token.id, now, before).await.unwrap();
        tokens.find(&token.hash).await.unwrap().unwrap().used_at
    };
    assert_eq!(note(100).await, Some(at(100)));
    assert_eq!(note(159).await, Some(at(100)));
    assert_eq!(note(160).await, Some(at(160)));
    assert!(tokens.revoke(token.id, at(200)).await.unwrap());
    assert!(tokens.revoke(token.id, at(300)).await.unwrap());
    assert!(!tokens.revoke(some_id(), at(300)).await.unwrap());
    let listed = tokens.list(Some(&owner("alice"))).await.unwrap();
    assert_eq!(listed[0].revoke_at, Some(at(200)));
    assert!(tokens.list(Some(&owner("bob"))).await.unwrap().is_empty());
}
