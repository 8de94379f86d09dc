//! Leases: rights that one process of the cluster has at a time.

use futures_util::future::join_all;
use harness::TestDatabase;
use persistence::{Database, Lease};

use crate::on_every_database;

on_every_database! {
    a_lease_is_taken_only_in_the_state_that_was_seen,
    one_of_many_concurrent_processes_gets_a_lease,
    a_released_lease_is_free,
}

async fn found(database: &Database) -> Lease {
    database.leases().find("x").await.unwrap().unwrap()
}

async fn a_lease_is_taken_only_in_the_state_that_was_seen(database: &Database, _: &TestDatabase) {
    let leases = database.leases();
    assert_eq!(leases.find("x").await.unwrap(), None);
    assert!(leases.take("x", "a", None).await.unwrap());
    let first = found(database).await;
    assert_eq!(first.holder.as_deref(), Some("a"));
    // The holder has sent a heartbeat since the lease was read.
    assert!(leases.heartbeat("x", "a").await.unwrap());
    assert!(!leases.take("x", "b", Some(&first)).await.unwrap());
    let second = found(database).await;
    assert!(second.heartbeat > first.heartbeat);
    assert!(leases.take("x", "b", Some(&second)).await.unwrap());
    assert!(!leases.take("x", "c", Some(&second)).await.unwrap());
    assert!(!leases.heartbeat("x", "a").await.unwrap());
    assert!(leases.heartbeat("x", "b").await.unwrap());
    // Other leases are independent.
    assert_eq!(leases.find("y").await.unwrap(), None);
    assert!(!leases.heartbeat("y", "b").await.unwrap());
}

async fn one_of_many_concurrent_processes_gets_a_lease(database: &Database, _: &TestDatabase) {
    let leases = database.leases();
    for seen in 0..3 {
        let seen = match seen {
            0 => None,
            _ => Some(found(database).await),
        };
        let names: Vec<String> = (0..8).map(|number| format!("{number}")).collect();
        let attempts = names
            .iter()
            .map(|holder| leases.take("x", holder, seen.as_ref()));
        let taken: Vec<bool> = join_all(attempts)
            .await
            .into_iter()
            .map(Result::unwrap)
            .collect();
        let holder = found(database).await.holder.unwrap();
        let winners: Vec<&String> = names
            .iter()
            .zip(&taken)
            .filter_map(|(name, taken)| taken.then_some(name))
            .collect();
        assert_eq!(winners, [&holder]);
    }
}

async fn a_released_lease_is_free(database: &Database, _: &TestDatabase) {
    let leases = database.leases();
    assert!(leases.take("x", "a", None).await.unwrap());
    leases.release("x", "b").await.unwrap();
    assert_eq!(found(database).await.holder.as_deref(), Some("a"));
    leases.release("x", "a").await.unwrap();
    let free = found(database).await;
    assert_eq!(free.holder, None);
    assert!(!leases.heartbeat("x", "a").await.unwrap());
    assert!(leases.take("x", "b", Some(&free)).await.unwrap());
    // A process that saw the lease as free cannot take it after another one.
    assert!(!leases.take("x", "c", Some(&free)).await.unwrap());
}
