//! A primary and a replica of the database: what is read where, and what happens when one goes.

use std::time::{Duration, Instant};

use domain::Sha1;
use harness::{Client, Kind, Pair, Server, Which, lent, unique_text};
use serde_json::{Value, json};

use crate::linking::share;

/// The time within which a change of the database's servers is noticed, on a busy machine.
const SOON: Duration = Duration::from_secs(15);

macro_rules! on_every_pair {
    ($($test:ident,)+) => {
        on_every_pair!(@ mariadb, MariaDb, $($test)+);
        on_every_pair!(@ postgres, Postgres, $($test)+);
    };
    (@ $module:ident, $kind:ident, $($test:ident)+) => {
        mod $module {
            $(
                #[tokio::test]
                async fn $test() {
                    super::$test(harness::Kind::$kind).await;
                }
            )+
        }
    };
}

on_every_pair! {
    a_write_is_read_at_once_through_another_process,
    a_replica_that_is_behind_is_left_out,
    a_replica_that_is_gone_is_left_out,
    without_a_primary_it_is_read_on_and_a_promoted_one_is_found,
    a_primary_that_hangs_is_no_primary,
}

/// A service on a pair of database servers.
async fn serve(pair: &Pair, settings: &[(&'static str, &str)]) -> Server {
    let database = pair.database();
    let of_pair = pair.settings(&database);
    let mut all = lent(&of_pair);
    all.extend(settings);
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    Server::start_on(database, folder, data, &all).await
}

/// A number that the service tells of itself.
async fn metric(client: &Client, line: &str) -> f64 {
    let metrics = client.get("/metrics").await;
    let value = metrics
        .text()
        .lines()
        .find_map(|found| found.strip_prefix(line)?.strip_prefix(' ')?.parse().ok());
    value.unwrap_or(0.0)
}

async fn reads_from(client: &Client, source: &str) -> f64 {
    metric(
        client,
        &format!("fileserver_database_reads_total{{from=\"{source}\"}}"),
    )
    .await
}

/// Waits until the service says so of its servers.
async fn until_trouble_is(client: &Client, is_so: impl Fn(&[String]) -> bool) {
    let begun = Instant::now();
    loop {
        let ready = client.get("/readyz").await;
        let said = ready.json();
        let trouble: Vec<String> = match &said["trouble"] {
            Value::Array(trouble) => trouble
                .iter()
                .map(|line| line.as_str().unwrap().to_owned())
                .collect(),
            _ => Vec::new(),
        };
        if ready.status == 200 && is_so(&trouble) {
            return;
        }
        assert!(begun.elapsed() < SOON, "{said}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn until_all_is_well(client: &Client) {
    until_trouble_is(client, <[String]>::is_empty).await;
}

/// Writes at one process, and looks at another whether it is all there.
async fn write_and_look(writer: &Client, reader: &Client, rounds: u32) {
    for round in 0..rounds {
        let (sha1, bytes) = writer.upload_some("a.txt").await;
        let path = format!("/files/{sha1}");
        assert_eq!(reader.get(&path).await.status, 200, "round {round}");
        let renamed = writer.patch(&sha1, &json!({"file_name": "b.txt"})).await;
        let found = reader.get(&path).await;
        assert_eq!(found.meta(), renamed.meta(), "round {round}");
        let content = reader.get(&format!("{path}/content")).await;
        assert_eq!(content.body, bytes);
        assert_eq!(newest(reader).await, sha1, "round {round}");
        assert_eq!(writer.delete(&sha1).await.status, 204);
        reader.get(&path).await.problem(404, "not-found");
    }
}

async fn newest(client: &Client) -> Sha1 {
    let listed = client.get("/files?limit=1").await.json();
    listed["files"][0]["file_sha1"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap()
}

async fn a_write_is_read_at_once_through_another_process(kind: Kind) {
    let pair = Pair::start(kind);
    let server = serve(&pair, &[]).await;
    let (_process, other) = server.second_process().await;
    until_all_is_well(server.client()).await;
    until_all_is_well(&other).await;
    let before = reads_from(&other, "primary").await;
    write_and_look(server.client(), &other, 30).await;
    let from_replica = reads_from(&other, "replica").await;
    let from_primary = reads_from(&other, "primary").await - before;
    assert!(
        from_replica > 10.0 * from_primary,
        "{from_replica} statements were read from the replica, {from_primary} from the primary"
    );
    server.finish().await;
}

async fn a_replica_that_is_behind_is_left_out(kind: Kind) {
    let pair = Pair::start(kind);
    let server = serve(&pair, &[]).await;
    let client = server.client();
    until_all_is_well(client).await;
    pair.hold_back(Which::Second, true);
    // A row that the replica lacks is not reported as missing.
    let begun = Instant::now();
    write_and_look(client, client, 10).await;
    let took = begun.elapsed();
    until_trouble_is(client, |trouble| {
        trouble.len() == 1 && trouble[0].ends_with("is behind")
    })
    .await;
    let is_behind = |lag: f64| lag > 0.5;
    let name = pair.name(Which::Second);
    let lag = format!("fileserver_database_server_lag_seconds{{server=\"{name}\"}}");
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(is_behind(metric(client, &lag).await));
    let before = reads_from(client, "replica").await;
    let begun = Instant::now();
    write_and_look(client, client, 10).await;
    // No request waits for it any more.
    assert!(begun.elapsed() < took + Duration::from_secs(2), "{took:?}");
    assert!(reads_from(client, "replica").await - before < 1.0);

    pair.hold_back(Which::Second, false);
    until_all_is_well(client).await;
    assert!(!is_behind(metric(client, &lag).await));
    write_and_look(client, client, 3).await;
    assert!(reads_from(client, "replica").await - before > 10.0);
    server.finish().await;
}

async fn a_replica_that_is_gone_is_left_out(kind: Kind) {
    let mut pair = Pair::start(kind);
    let server = serve(&pair, &[]).await;
    let client = server.client();
    until_all_is_well(client).await;
    // Otherwise writes would wait for it, as they should.
    pair.acknowledge_alone(Which::First);
    pair.freeze(Which::Second, true);
    let begun = Instant::now();
    write_and_look(client, client, 3).await;
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
    until_trouble_is(client, |trouble| {
        trouble.len() == 1 && trouble[0].ends_with("answer")
    })
    .await;
    pair.freeze(Which::Second, false);
    until_all_is_well(client).await;

    pair.kill(Which::Second);
    write_and_look(client, client, 3).await;
    until_trouble_is(client, |trouble| {
        trouble.len() == 1 && trouble[0].ends_with("answer")
    })
    .await;
    pair.restart(Which::Second, false);
    until_all_is_well(client).await;
    let before = reads_from(client, "replica").await;
    write_and_look(client, client, 3).await;
    assert!(reads_from(client, "replica").await - before > 10.0);
    server.finish().await;
}

async fn without_a_primary_it_is_read_on_and_a_promoted_one_is_found(kind: Kind) {
    let mut pair = Pair::start(kind);
    let server = serve(&pair, &[("FILESERVER_AUTH", "token")]).await;
    let (mut process, other) = server.second_process().await;
    let alice = server.client_of("alice");
    until_all_is_well(&alice).await;
    let (sha1, bytes) = alice.upload_some("kept.txt").await;
    let link = alice.send(share(&alice, &sha1.to_string())).await.json();
    // Kept in no process's memory.
    let bob = server.client_of("bob");
    pair.kill(Which::First);

    let begun = Instant::now();
    let path = format!("/files/{sha1}");
    assert_eq!(alice.get(&path).await.status, 200);
    assert_eq!(alice.get(&format!("{path}/content")).await.body, bytes);
    assert_eq!(newest(&alice).await, sha1);
    assert_eq!(bob.get("/usage").await.status, 503);
    let shared = server.client().get(link["url"].as_str().unwrap()).await;
    assert_eq!(shared.body, bytes);
    // Nothing is said not to exist.
    let unknown = "0".repeat(40);
    alice
        .get(&format!("/files/{unknown}"))
        .await
        .problem(503, "unavailable");
    let both = format!("/files?file_sha1={sha1}&file_sha1={unknown}");
    alice.get(&both).await.problem(503, "unavailable");
    bob.get("/files").await.problem(503, "unavailable");
    let stranger = server
        .client()
        .with_token("fst_0000000000000000000000000000000000000000000");
    assert_ne!(stranger.get(&path).await.status, 404);
    let refused = alice.upload("new.txt", unique_text()).await;
    refused.problem(503, "unavailable");
    refused.header("retry-after").parse::<u32>().unwrap();
    let renamed = alice.patch(&sha1, &json!({"file_name": "b.txt"})).await;
    renamed.problem(503, "unavailable");
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
    let is_told =
        |trouble: &[String]| trouble.contains(&"no database server takes writes".to_owned());
    until_trouble_is(server.client(), is_told).await;

    // A process that starts meanwhile waits.
    let promoting = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        pair.promote(Which::Second);
    };
    let ((mut late, late_client), ()) = tokio::join!(server.second_process(), promoting);
    for client in [&alice, &other, &late_client].map(|client| alice.by_way_of(client.base())) {
        let client = &client;
        let begun = Instant::now();
        while client.upload("new.txt", unique_text()).await.status == 503 {
            assert!(begun.elapsed() < SOON, "the new primary is not found");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let answer = client.get(&format!("/files/{unknown}")).await;
        answer.problem(404, "not-found");
        write_and_look(client, client, 3).await;
    }
    process.kill().await.unwrap();
    late.kill().await.unwrap();
    // A process that starts now finds it, too, though the settings call it the replica.
    server.stop().await;
    server.restart().await;
    assert_eq!(alice.get(&path).await.status, 200);
    if kind == Kind::MariaDb {
        pair.restart(Which::First, false);
        pair.rejoin(Which::First);
        until_all_is_well(server.client()).await;
        write_and_look(&alice, &alice, 3).await;
        // A second primary changes nothing for running processes, and stops new ones from starting.
        let _ = pair.administrate(Which::First, "SET GLOBAL read_only = OFF");
        tokio::time::sleep(Duration::from_secs(2)).await;
        write_and_look(&alice, &alice, 3).await;
        let output = server.command(&["check"]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            !output.status.success() && said.contains("take writes"),
            "{said}"
        );
        assert!(!said.contains("tester"), "{said}");
        let _ = pair.administrate(Which::First, "SET GLOBAL read_only = ON");
    }
    server.finish().await;
}

async fn a_primary_that_hangs_is_no_primary(kind: Kind) {
    let pair = Pair::start(kind);
    let server = serve(&pair, &[]).await;
    let client = server.client();
    until_all_is_well(client).await;
    let (sha1, bytes) = client.upload_some("kept.txt").await;
    pair.freeze(Which::First, true);
    let begun = Instant::now();
    assert_eq!(client.get(&format!("/files/{sha1}")).await.status, 200);
    assert_eq!(
        client.get(&format!("/files/{sha1}/content")).await.body,
        bytes
    );
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
    let refused = client.upload("new.txt", unique_text()).await;
    refused.problem(503, "unavailable");
    pair.freeze(Which::First, false);
    until_all_is_well(client).await;
    write_and_look(client, client, 3).await;
    server.finish().await;
}
