//! The migrations of the schema.

use futures_util::future::join_all;
use harness::{Kind, Proxy, TestDatabase};
use persistence::{Database, Error, Options};

use crate::{on_every_database, options, record, some_content};

/// The shards, the entries, the uploads, the claims, the accounts, the tokens and the links; the
/// two tables of staged bytes, the pending deletions, the jobs and the transfers; the leases and
/// the stores; the checksums; the visits.
const TABLES: usize = 256 + 6 + 5 + 2 + 1 + 1;

on_every_database! {
    every_migration_can_be_reverted_and_applied_again,
    processes_that_start_together_apply_each_migration_once,
    a_migration_that_was_interrupted_is_applied_again,
}

async fn every_migration_can_be_reverted_and_applied_again(
    database: &Database,
    place: &TestDatabase,
) {
    let schema = Database::schema(&options(place)).await.unwrap();
    assert!(
        schema
            .steps()
            .await
            .unwrap()
            .iter()
            .all(|(_, taken)| *taken)
    );
    assert_eq!(tables(place), TABLES);
    record(database, "alice", "a.txt", &some_content(), 1).await;

    let steps = schema.steps().await.unwrap().len();
    schema.down(u32::try_from(steps).unwrap()).await.unwrap();
    assert!(
        schema
            .steps()
            .await
            .unwrap()
            .iter()
            .all(|(_, taken)| !*taken)
    );
    assert_eq!(tables(place), 0);

    schema.up().await.unwrap();
    schema.up().await.unwrap();
    assert_eq!(tables(place), TABLES);
    schema.close().await;
}

async fn processes_that_start_together_apply_each_migration_once(
    _: &Database,
    place: &TestDatabase,
) {
    let schema = Database::schema(&options(place)).await.unwrap();
    schema.down(1).await.unwrap();
    let starts = (0..4).map(|_| async {
        let schema = Database::schema(&options(place)).await.unwrap();
        schema.up().await.unwrap();
        schema.close().await;
    });
    join_all(starts).await;
    assert_eq!(tables(place), TABLES);
    schema.close().await;
}

async fn a_migration_that_was_interrupted_is_applied_again(_: &Database, place: &TestDatabase) {
    let steps = "DELETE FROM seaql_migrations";
    let _ = place.sql(&format!(
        "{steps}; DROP TABLE tbl_user_file; DROP TABLE tbl_7f"
    ));
    let schema = Database::schema(&options(place)).await.unwrap();
    schema.up().await.unwrap();
    assert_eq!(tables(place), TABLES);
    schema.close().await;
}

/// The number of the service's tables in the database.
fn tables(place: &TestDatabase) -> usize {
    let names = match place.kind() {
        Kind::Sqlite => "SELECT name FROM sqlite_master WHERE type = 'table'",
        Kind::MariaDb => {
            "SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE()"
        }
        Kind::Postgres => {
            "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'"
        }
    };
    let names = place.sql(names);
    names
        .lines()
        .filter(|name| name.starts_with("tbl_"))
        .count()
}

#[tokio::test]
async fn an_unreachable_server_is_unavailable_until_it_is_reachable_again() {
    for kind in [Kind::MariaDb, Kind::Postgres] {
        let place = TestDatabase::new(kind);
        let schema = Database::schema(&options(&place)).await.unwrap();
        schema.up().await.unwrap();
        schema.close().await;
        let proxy = Proxy::before(&place.url()).await;
        let database = Database::connect(&Options::alone(proxy.url(), 2))
            .await
            .unwrap();
        let sha1 = some_content().sha1;
        assert_eq!(database.contents().find(&sha1).await.unwrap(), None);

        proxy.cut();
        let gone = database.contents().find(&sha1).await.unwrap_err();
        assert!(
            matches!(gone, Error::Unavailable(_) | Error::TimedOut),
            "{kind:?}: {gone:?}"
        );

        proxy.mend();
        tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
        assert_eq!(
            database.contents().find(&sha1).await.unwrap(),
            None,
            "{kind:?}"
        );
        database.close().await;
    }
}

#[tokio::test]
async fn a_malformed_url_is_refused_without_showing_it() {
    for url in [
        "",
        "sqlite:",
        "sqlite::memory:",
        "oracle://me:secret@host/x",
        "secret",
    ] {
        let refused = Database::connect(&Options::alone(url, 1))
            .await
            .unwrap_err();
        assert!(matches!(refused, Error::Unusable(_)), "{url}: {refused:?}");
        assert!(!format!("{refused:?}").contains("secret"), "{refused:?}");
    }
}
