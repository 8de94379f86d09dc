//! Resumable uploads and claims.

use std::time::Duration;

use domain::{
    Claim, MediaType, Protocol, Quota, Role, Session, SessionState, Sha1, Usage, possession::Nonce,
};
use futures_util::future::join_all;
use harness::TestDatabase;
use persistence::{Database, RecordOutcome, UploadRecord};

use crate::{at, on_every_database, owner, some_address, some_content, some_id};

on_every_database! {
    an_upload_is_found_by_its_owner_and_its_protocol,
    a_length_is_set_once,
    a_file_and_the_end_of_its_upload_are_recorded_together,
    an_expired_upload_is_listed_and_removed,
    a_claim_is_used_once_and_counted,
}

fn session(who: &str, protocol: Protocol) -> Session {
    let id = some_id();
    Session {
        id,
        owner: owner(who),
        protocol,
        role: Role::Whole,
        state: SessionState::Open,
        length: None,
        reserved_bytes: None,
        file_name: "数据 🚀.txt".parse().unwrap(),
        content_type: MediaType::default(),
        expected_sha1: Some(some_content().sha1),
        expected_sha256: None,
        metadata: Some("filename YQ==".repeat(600)),
        concat: None,
        create_at: at(1),
        expires_at: at(1_000_000),
    }
}

async fn an_upload_is_found_by_its_owner_and_its_protocol(database: &Database, _: &TestDatabase) {
    let sessions = database.sessions();
    let mut mine = session("alice", Protocol::Tus);
    mine.role = Role::Final;
    // A thousand URLs.
    mine.concat = Some(format!(
        "final;{}",
        "/tus/00000000000000000000000000000000 ".repeat(1000)
    ));
    mine.length = Some(5 << 40);
    sessions
        .insert(&mine, &Quota::NONE, &Usage::default())
        .await
        .unwrap();
    let alice = owner("alice");
    let found = sessions.find(&alice, Protocol::Tus, mine.id).await.unwrap();
    assert_eq!(found, Some(mine.clone()));
    for (who, protocol) in [("bob", Protocol::Tus), ("alice", Protocol::Http)] {
        let found = sessions.find(&owner(who), protocol, mine.id).await;
        assert_eq!(found.unwrap(), None, "{who}");
    }
    let unknown = sessions.find(&alice, Protocol::Tus, some_id()).await;
    assert_eq!(unknown.unwrap(), None);
    let concat = mine.concat.clone().unwrap();
    let same = sessions.find_final(&alice, &concat, at(5)).await.unwrap();
    assert_eq!(same.map(|session| session.id), Some(mine.id));
    assert_eq!(
        sessions
            .find_final(&owner("bob"), &concat, at(5))
            .await
            .unwrap(),
        None
    );
    let both = sessions.find_many(&owner("bob"), &[mine.id]).await.unwrap();
    assert_eq!(both, [], "an upload of another owner is not found");
    sessions.mark_failed(mine.id).await.unwrap();
    assert_eq!(
        sessions.find_final(&alice, &concat, at(5)).await.unwrap(),
        None
    );
}

async fn a_length_is_set_once(database: &Database, _: &TestDatabase) {
    let sessions = database.sessions();
    let upload = session("alice", Protocol::Tus);
    sessions
        .insert(&upload, &Quota::NONE, &Usage::default())
        .await
        .unwrap();
    let (quota, held) = (Quota::NONE, Usage::default());
    let settle = |length| sessions.set_length(&upload, length, &quota, &held, at(1));
    let all = join_all((1..=8).map(settle)).await;
    let settled = all.into_iter().filter(|settled| *settled.as_ref().unwrap());
    assert_eq!(settled.count(), 1);
}

async fn a_file_and_the_end_of_its_upload_are_recorded_together(
    database: &Database,
    _: &TestDatabase,
) {
    let sessions = database.sessions();
    let upload = session("alice", Protocol::Tus);
    sessions
        .insert(&upload, &Quota::NONE, &Usage::default())
        .await
        .unwrap();
    let content = some_content();
    let address = some_address();
    let record = UploadRecord {
        owner: &upload.owner,
        file_name: &upload.file_name,
        content_type: &upload.content_type,
        content: &content,
        checksums: None,
        address: Some(&address),
        is_scheduled: false,
        copy_to: None,
        lost: None,
        deletion_grace: Duration::ZERO,
        session: Some(upload.id),
        quota: Some(Quota::NONE),
        at: at(2),
    };
    // Only one of several concurrent requests records the upload.
    let all = join_all((0..4).map(|_| database.record(&record))).await;
    let (done, over): (Vec<RecordOutcome>, Vec<RecordOutcome>) = all
        .into_iter()
        .map(Result::unwrap)
        .partition(|recording| matches!(recording, RecordOutcome::Recorded { .. }));
    assert_eq!(done.len(), 1);
    assert!(
        over.iter()
            .all(|recording| matches!(recording, RecordOutcome::SessionClosed))
    );
    let found = sessions.find(&upload.owner, Protocol::Tus, upload.id).await;
    let found = found.unwrap().unwrap();
    assert_eq!(found.state, SessionState::Done(content.sha1));
    assert_eq!(found.length, Some(content.size));
    // A removed upload is not recorded either.
    sessions.remove(&[upload.id]).await.unwrap();
    let gone = database.record(&record).await.unwrap();
    assert!(matches!(gone, RecordOutcome::SessionClosed));
}

async fn an_expired_upload_is_listed_and_removed(database: &Database, _: &TestDatabase) {
    let sessions = database.sessions();
    let (mut early, late) = (
        session("alice", Protocol::Tus),
        session("bob", Protocol::Http),
    );
    early.expires_at = at(10);
    for upload in [&early, &late] {
        sessions
            .insert(upload, &Quota::NONE, &Usage::default())
            .await
            .unwrap();
    }
    assert_eq!(sessions.list(None, 10).await.unwrap().len(), 2);
    let over = sessions.list_expired(at(11), 10).await.unwrap();
    assert_eq!(over, [early.clone()]);
    // A request may have extended the expiry since.
    sessions.set_expiry(early.id, at(20)).await.unwrap();
    assert!(!sessions.remove_expired(early.id, at(11)).await.unwrap());
    assert!(sessions.remove_expired(early.id, at(21)).await.unwrap());
    assert_eq!(sessions.list(None, 10).await.unwrap(), [late]);
}

async fn a_claim_is_used_once_and_counted(database: &Database, _: &TestDatabase) {
    let claims = database.claims();
    let sha1: Sha1 = some_content().sha1;
    let claim = |moment: i64| Claim {
        id: some_id(),
        owner: owner("alice"),
        nonce: Nonce::from([7; 32]),
        file_sha1: sha1,
        file_sha256: None,
        file_size: 5 << 40,
        file_name: "a.txt".parse().unwrap(),
        content_type: MediaType::default(),
        create_at: at(moment),
        expires_at: at(moment).after(Duration::from_micros(100)),
    };
    let mut all = [claim(1), claim(2), claim(3)];
    // Claims of the same time are ordered too.
    all[1].create_at = at(1);
    all[..2].sort_by_key(|claim| claim.id);
    for claim in &all {
        claims.insert(claim).await.unwrap();
    }
    let alice = owner("alice");
    for (claim, since, before, found) in [
        (&all[2], 0, 1, Some(1)),
        (&all[2], 0, 2, Some(1)),
        (&all[2], 0, 3, None),
        (&all[2], 1, 1, None),
        (&all[1], 0, 1, Some(1)),
        (&all[1], 0, 2, None),
        (&all[0], 0, 1, None),
    ] {
        let last = claims.find_before(claim, at(since), before).await;
        assert_eq!(last.unwrap(), found.map(at), "{since} {before}");
    }
    claims.remove(all[1].id).await.unwrap();
    let none = claims.find_before(&all[2], at(0), 2).await.unwrap();
    assert_eq!(none, None);
    claims.insert(&all[1]).await.unwrap();

    let id = all[0].id;
    let now = at(50);
    assert_eq!(claims.use_up(&owner("bob"), id, now).await.unwrap(), None);
    assert_eq!(claims.use_up(&alice, id, at(102)).await.unwrap(), None);
    let used = join_all((0..8).map(|_| claims.use_up(&alice, id, now))).await;
    let used: Vec<Claim> = used.into_iter().filter_map(Result::unwrap).collect();
    assert_eq!(used, [all[0].clone()]);
    claims.remove_expired(at(103)).await.unwrap();
    assert_eq!(claims.use_up(&alice, all[1].id, at(5)).await.unwrap(), None);
    let left = claims.use_up(&alice, all[2].id, now).await.unwrap();
    assert_eq!(left, Some(all[2].clone()));
}
