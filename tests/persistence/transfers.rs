//! Transfers of a store's contents to another store.

use domain::{RandomId, ScanProgress, Transfer, TransferState};
use futures_util::future::join_all;
use harness::TestDatabase;
use persistence::Database;

use crate::{at, on_every_database, some_id};

on_every_database! {
    transfers_are_found_and_listed,
    a_transfer_has_one_planner,
    a_transfer_ends_once,
}

async fn transfers_are_found_and_listed(database: &Database, _: &TestDatabase) {
    let transfers = database.transfers();
    let first = Transfer {
        rate: Some(1_000_000),
        ..transfer(1)
    };
    let second = Transfer {
        planner: Some("a".to_owned()),
        planned_until: at(9),
        ..transfer(2)
    };
    let other = Transfer {
        to: "elsewhere".to_owned(),
        state: TransferState::Done,
        end_at: Some(at(4)),
        ..transfer(3)
    };
    for transfer in [&first, &second, &other] {
        transfers.insert(transfer).await.unwrap();
        let found = transfers.find(transfer.id).await.unwrap();
        assert_eq!(found.as_ref(), Some(transfer));
    }
    assert_eq!(transfers.find(some_id()).await.unwrap(), None);
    let newest = transfers.list(2).await.unwrap();
    assert_eq!(newest, [other, second.clone()]);
    let running = transfers.list_running().await.unwrap();
    assert_eq!(running, [first.clone(), second]);
    let found = transfers.find_running("ceph", "oss").await.unwrap();
    assert_eq!(found, Some(first));
    let ended = transfers.find_running("ceph", "elsewhere").await.unwrap();
    assert_eq!(ended, None);
}

async fn a_transfer_has_one_planner(database: &Database, _: &TestDatabase) {
    let (transfers, id) = (database.transfers(), add(database).await);
    let planners: Vec<String> = (0..8).map(|number| format!("planner {number}")).collect();
    let all = planners
        .iter()
        .map(|planner| transfers.plan(id, planner, at(10), at(20)));
    let taken = join_all(all).await;
    let taken: Vec<Transfer> = taken.into_iter().filter_map(Result::unwrap).collect();
    let [taken] = &taken[..] else {
        panic!("{taken:?}")
    };
    let planner = taken.planner.as_deref().unwrap();
    let longer = transfers.plan(id, planner, at(15), at(30)).await.unwrap();
    assert_eq!(longer.unwrap().planned_until, at(30));

    let progress = ScanProgress {
        pass: 2,
        found: 7,
        shard: 256,
        after_id: 99,
        paced_until: at(50),
    };
    assert!(
        transfers
            .advance(id, planner, &progress, at(16))
            .await
            .unwrap()
    );
    let found = transfers.find(id).await.unwrap().unwrap();
    assert_eq!((found.pass, found.found, found.shard), (2, 7, 256));
    assert_eq!(
        (found.after_id, found.paced_until, found.update_at),
        (99, at(50), at(16))
    );

    let next = transfers.plan(id, "next", at(30), at(40)).await.unwrap();
    assert!(next.is_some(), "the previous claim has expired");
    let late = ScanProgress {
        pass: 3,
        ..progress
    };
    assert!(!transfers.advance(id, planner, &late, at(31)).await.unwrap());
    assert_eq!(transfers.find(id).await.unwrap(), next);
}

async fn a_transfer_ends_once(database: &Database, _: &TestDatabase) {
    let (transfers, id) = (database.transfers(), add(database).await);
    transfers.set_total(id, 12, 3456).await.unwrap();
    assert!(transfers.set_rate(id, Some(500), at(0)).await.unwrap());
    assert!(transfers.set_rate(id, None, at(0)).await.unwrap());
    assert!(transfers.set_rate(id, Some(600), at(0)).await.unwrap());
    let held = transfers.plan(id, "a", at(10), at(20)).await.unwrap();
    let held = held.unwrap();
    assert_eq!(
        (held.total_files, held.total_bytes, held.rate),
        (12, 3456, Some(600))
    );

    let states = [TransferState::Done, TransferState::Cancelled];
    let ended = join_all(states.map(|state| transfers.end(id, state, at(15)))).await;
    let ended: Vec<bool> = ended.into_iter().map(Result::unwrap).collect();
    assert_eq!(ended.iter().filter(|ended| **ended).count(), 1);
    let found = transfers.find(id).await.unwrap().unwrap();
    assert_eq!(found.state, states[usize::from(ended[1])]);
    assert_eq!(found.end_at, Some(at(15)));

    let progress = ScanProgress {
        pass: 9,
        found: 9,
        shard: 9,
        after_id: 9,
        paced_until: at(9),
    };
    assert!(!transfers.advance(id, "a", &progress, at(16)).await.unwrap());
    assert!(!transfers.set_rate(id, None, at(0)).await.unwrap());
    let again = transfers.plan(id, "a", at(16), at(20)).await.unwrap();
    assert_eq!(again, None);
    assert_eq!(transfers.find(id).await.unwrap(), Some(found));
}

async fn add(database: &Database) -> RandomId {
    let transfer = transfer(1);
    database.transfers().insert(&transfer).await.unwrap();
    transfer.id
}

/// A transfer that was created at a given time.
pub(crate) fn transfer(time: i64) -> Transfer {
    Transfer {
        id: some_id(),
        from: "ceph".to_owned(),
        to: "oss".to_owned(),
        rate: None,
        state: TransferState::Running,
        pass: 0,
        found: 0,
        shard: 0,
        after_id: 0,
        total_files: 0,
        total_bytes: 0,
        copied_files: 0,
        copied_bytes: 0,
        paced_until: at(0),
        planner: None,
        planned_until: at(0),
        create_at: at(time),
        update_at: at(time),
        end_at: None,
    }
}
