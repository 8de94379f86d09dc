//! Who does what is to be done once in the whole cluster.

use futures_util::future::join_all;
use harness::TestDatabase;
use persistence::{Database, Lease};

use crate::on_every_database;

on_every_database! {
    a_lease_is_taken_as_it_was_seen_or_not_at_all,
    of_many_who_take_a_lease_one_has_it,
    what_was_given_up_is_free,
}

async fn found(database: &Database) -> Lease {
    database.leases().find("x").await.unwrap().unwrap()
}

async fn a_lease_is_taken_as_it_was_seen_or_not_at_all(database: &Database, _: &TestDatabase) {
    let leases = database.leases();
    assert_eq!(leases.find("x").await.unwrap(), None);
    assert!(leases.take("x", "a", None).await.unwrap());
    let first = found(database).await;
    assert_eq!(first.holder.as_deref(), Some("a"));
    // It gave a sign of life since it was seen.
    assert!(leases.heartbeat("x", "a").await.unwrap());
    assert!(!leases.take("x", "b", Some(&first)).await.unwrap());
    let second = found(database).await;
    assert!(second.heartbeat > first.heartbeat);
    assert!(leases.take("x", "b", Some(&second)).await.unwrap());
    assert!(!leases.take("x", "c", Some(&second)).await.unwrap());
    assert!(!leases.heartbeat("x", "a").await.unwrap());
    assert!(leases.heartbeat("x", "b").await.unwrap());
    // Others are others.
    assert_eq!(leases.find("y").await.unwrap(), None);
    assert!(!leases.heartbeat("y", "b").await.unwrap());
}

async fn of_many_who_take_a_lease_one_has_it(database: &Database, _: &TestDatabase) {
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

async fn what_was_given_up_is_free(database: &Database, _: &TestDatabase) {
    let leases = database.leases();
    assert!(leases.take("x", "a", None).await.unwrap());
    leases.release("x", "b").await.unwrap();
    assert_eq!(found(database).await.holder.as_deref(), Some("a"));
    leases.release("x", "a").await.unwrap();
    let free = found(database).await;
    assert_eq!(free.holder, None);
    assert!(!leases.heartbeat("x", "a").await.unwrap());
    assert!(leases.take("x", "b", Some(&free)).await.unwrap());
    // Whoever saw it free before does not have it a second time.
    assert!(!leases.take("x", "c", Some(&free)).await.unwrap());
}
