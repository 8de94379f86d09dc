//! Whether finding and listing cost the same with many rows as with few, on every database.
//!
//! SQLite is always measured; MariaDB and PostgreSQL if `TEST_MYSQL_URL` and `TEST_POSTGRES_URL`
//! name servers, as `tests/servers` writes them down, on which there is a database `bench`.

use std::time::{Duration, Instant};

use domain::{EntryFilter, Owner, Position, Sha1};
use persistence::{Database, Options, Part, plans};

use crate::median;

const ROUNDS: usize = 2000;

pub(crate) async fn measure(many: u64) {
    println!("## a thousand rows, and {many}\n");
    let folder = tempfile::tempdir_in(".").unwrap();
    let mut urls = vec![format!("sqlite:{}/rows.db", folder.path().display())];
    for server in ["TEST_MYSQL_URL", "TEST_POSTGRES_URL"] {
        match std::env::var(server) {
            Ok(server) => urls.push(format!("{server}/bench")),
            Err(_) => println!("{server} is not set, so that database is not measured\n"),
        }
    }
    for url in urls {
        let options = Options::alone(url, 2);
        let schema = Database::schema(&options).await.unwrap();
        schema.up().await.unwrap();
        let database = Database::connect(&options).await.unwrap();
        println!("### {}\n", options.url.split(':').next().unwrap());
        plans::fill(&database, 0, 1000).await.unwrap();
        let few = costs(&database, 1000).await;
        plans::fill(&database, 1000, many).await.unwrap();
        let lots = costs(&database, many).await;
        for ((what, few), (_, lots)) in few.into_iter().zip(lots) {
            let ratio = lots.as_secs_f64() / few.as_secs_f64();
            println!("{what}: {few:.1?}, then {lots:.1?}: {ratio:.2} times");
        }
        println!("\n{}\n", the_plans(&database, many).await);
        database.close().await;
        schema.down(1).await.unwrap();
        schema.close().await;
    }
}

fn owner() -> Owner {
    "bench".parse().unwrap()
}

fn sha1(number: u64) -> Sha1 {
    format!("{number:040x}").parse().unwrap()
}

/// A place in the middle of the listing.
fn middle(rows: u64) -> Position {
    Position {
        upload_at: domain::Timestamp::from_microseconds(i64::try_from(rows / 2).unwrap()),
        id: 0,
    }
}

/// The medians of what finding a file and a page of the listing take.
async fn costs(database: &Database, rows: u64) -> Vec<(&'static str, Duration)> {
    let entries = database.entries();
    let filter = EntryFilter {
        status: domain::FileStatus::Available,
        name: None,
        sha1s: None,
    };
    let (mut finds, mut firsts, mut middles) = (vec![], vec![], vec![]);
    for round in 0..ROUNDS {
        let number = round as u64 * 7919 % rows;
        let began = Instant::now();
        assert!(
            entries
                .find(&owner(), &sha1(number))
                .await
                .unwrap()
                .is_some()
        );
        finds.push(began.elapsed());
        for (after, times) in [(None, &mut firsts), (Some(middle(rows)), &mut middles)] {
            let began = Instant::now();
            let page = entries
                .list(&owner(), &filter, Part { after, last: None }, 21)
                .await
                .unwrap();
            assert_eq!(page.len(), 21);
            times.push(began.elapsed());
        }
    }
    vec![
        ("finding one file", median(finds)),
        ("the first page", median(firsts)),
        ("a page in the middle", median(middles)),
    ]
}

async fn the_plans(database: &Database, rows: u64) -> String {
    let plans = [
        plans::find(database, &owner(), &sha1(1)).await.unwrap(),
        plans::list(database, &owner(), None, 21).await.unwrap(),
        plans::list(database, &owner(), Some(middle(rows)), 21)
            .await
            .unwrap(),
    ];
    plans.join("\n\n")
}
