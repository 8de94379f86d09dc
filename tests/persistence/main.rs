//! The guarantees of the persistence, on every database.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod entries;
mod jobs;
mod leases;
mod owners;
mod pending_deletions;
mod plans;
mod recording;
mod relocation;
mod schema;
mod sessions;
mod stagings;
mod transfers;

use std::time::Duration;

use domain::{Address, Content, Entry, EntryOutcome, MediaType, Owner, Quota, RandomId, Timestamp};
use harness::{Kind, TestDatabase, digests, unique_text};
use persistence::{Database, Options, RecordOutcome, UploadRecord};

/// Runs a test against a database with the newest schema.
async fn with(kind: Kind, test: impl AsyncFn(&Database, &TestDatabase)) {
    let place = TestDatabase::new(kind);
    let options = options(&place);
    let schema = Database::schema(&options).await.unwrap();
    schema.up().await.unwrap();
    schema.close().await;
    let database = Database::connect(&options).await.unwrap();
    test(&database, &place).await;
    database.close().await;
}

fn options(place: &TestDatabase) -> Options {
    Options::alone(place.url(), 8)
}

macro_rules! on_every_database {
    ($($test:ident,)+) => {
        on_every_database!(@ sqlite, Sqlite, $($test)+);
        on_every_database!(@ mariadb, MariaDb, $($test)+);
        on_every_database!(@ postgres, Postgres, $($test)+);
    };
    (@ $module:ident, $kind:ident, $($test:ident)+) => {
        mod $module {
            $(
                #[tokio::test(flavor = "multi_thread")]
                async fn $test() {
                    crate::with(harness::Kind::$kind, super::$test).await;
                }
            )+
        }
    };
}
pub(crate) use on_every_database;

fn owner(name: &str) -> Owner {
    name.parse().unwrap()
}

fn at(microseconds: i64) -> Timestamp {
    Timestamp::from_microseconds(microseconds)
}

fn some_id() -> RandomId {
    let mut random = [0; 16];
    getrandom::fill(&mut random).unwrap();
    random.into()
}

fn some_content() -> Content {
    digests(unique_text().as_bytes())
}

/// A new address, used by no other copy.
fn some_address() -> Address {
    format!("disk:{}", unique_text()).parse().unwrap()
}

/// Records an upload of a content with its bytes.
async fn record(
    database: &Database,
    who: &str,
    name: &str,
    content: &Content,
    at: i64,
) -> (Entry, EntryOutcome, Address) {
    let address = some_address();
    let recording = database
        .record(&UploadRecord {
            owner: &owner(who),
            file_name: &name.parse().unwrap(),
            content_type: &MediaType::default(),
            content,
            checksums: None,
            address: Some(&address),
            is_scheduled: false,
            copy_to: None,
            lost: None,
            deletion_grace: Duration::ZERO,
            session: None,
            quota: Some(Quota::NONE),
            at: Timestamp::from_microseconds(at),
        })
        .await
        .unwrap();
    match recording {
        RecordOutcome::Recorded {
            entry,
            outcome,
            address,
        } => (*entry, outcome, address),
        other => panic!("{other:?}"),
    }
}
