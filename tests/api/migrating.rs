//! Whole collections move from one store to another, while the service runs.

use std::{
    collections::HashSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use domain::Sha1;
use harness::{
    Answer, Ceph, Client, Gateway, Kind, Oss, Server, StoreSettings, eventually, freeze, random,
    unique_text, variable,
};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::{process::Command, time::sleep};

use crate::transferring::{
    BROKER, addresses, free_jobs, start, until_gone_at_once, until_settled, worker,
};

/// The number of small files that move.
fn count() -> usize {
    let count = std::env::var("TEST_MIGRATED_FILES").ok();
    count.map_or(1_500, |count| count.parse().unwrap())
}

/// A service with Ceph, and OSS for its files to move to.
async fn with_both(settings: &[(&'static str, &str)]) -> (Server, Oss) {
    with(Ceph::settings(), settings).await
}

async fn with(ceph: StoreSettings, settings: &[(&'static str, &str)]) -> (Server, Oss) {
    let oss = Oss::start();
    let stores = ceph.into_iter().chain(oss.settings()).collect();
    let mut all = vec![("FILESERVER_PRIMARY", "ceph"), ("FILESERVER_AUTH", "token")];
    all.extend(settings);
    (start(Kind::Sqlite, stores, &all).await, oss)
}

fn lie_in(server: &Server, store: &str) -> usize {
    let begin = format!("{store}:");
    let found = addresses(server);
    found
        .iter()
        .filter(|address| address.starts_with(&begin))
        .count()
}

/// A client that may do everything.
fn admin(server: &Server) -> Client {
    let everything = "files:read,files:write,metrics:read,admin";
    server
        .client()
        .with_token(&server.token("root", everything))
}

async fn start_transfer(client: &Client, wanted: Value) -> String {
    let request = client.request(Method::POST, "/transfers").json(&wanted);
    let started = client.send(request).await;
    assert_eq!(started.status, 201, "{}", started.text());
    let transfer = started.json();
    let location = format!("/transfers/{}", transfer["id"].as_str().unwrap());
    assert_eq!(started.header("location"), location);
    location
}

#[tokio::test]
async fn a_transfer_is_asked_for_watched_and_cancelled() {
    let (server, _oss) = with_both(&[]).await;
    let client = &admin(&server);
    for _ in 0..10 {
        client.upload_some("a.txt").await;
    }
    // So slow that it does not end during the test.
    let wanted = json!({"from": "ceph", "to": "oss", "rate": 1});
    let location = start_transfer(client, wanted.clone()).await;
    let again = client.request(Method::POST, "/transfers").json(&wanted);
    assert_eq!(client.send(again).await.status, 200);
    let transfer = client.get(&location).await.json();
    assert_eq!(transfer["state"], "running");
    assert_eq!(transfer["total_files"], 10);
    assert_eq!(transfer["rate"], 1);
    let listed = client.get("/transfers").await.json();
    assert_eq!(listed["transfers"][0]["id"], transfer["id"]);
    let cancel = || client.request(Method::DELETE, &location);
    assert_eq!(client.send(cancel()).await.status, 204);
    client.send(cancel()).await.problem(409, "transfer-over");
    let cancelled = client.get(&location).await.json();
    assert_eq!(cancelled["state"], "cancelled");
    assert!(cancelled["end_at"].is_string());
    let unknown = "/transfers/000102030405060708090a0b0c0d0e0f";
    client.get(unknown).await.problem(404, "transfer-not-found");
    let unknown = client.request(Method::DELETE, unknown);
    client
        .send(unknown)
        .await
        .problem(404, "transfer-not-found");
    for (wanted, reason) in [
        (json!({"from": "ceph", "to": "tape"}), "tape"),
        (json!({"from": "ceph", "to": "ceph"}), "same"),
        (json!({"from": "ceph", "to": "oss", "rate": 0}), "rate"),
        (json!({"from": "ceph"}), "to"),
    ] {
        let request = client.request(Method::POST, "/transfers").json(&wanted);
        let refused = client.send(request).await.problem(400, "invalid-body");
        assert!(refused.contains(reason), "{refused}");
    }
    let new = || client.request(Method::POST, "/transfers");
    for (request, status, kind) in [
        (new().body("x"), 415, "unsupported-media-type"),
        (new().json(&"x".repeat(70_000)), 413, "too-large"),
        (
            new().query(&[("x", "y")]).json(&wanted),
            400,
            "invalid-query",
        ),
        (
            new().header("accept", "text/html").json(&wanted),
            406,
            "not-acceptable",
        ),
    ] {
        client.send(request).await.problem(status, kind);
    }
    for path in ["/transfers", &location] {
        let get = || client.request(Method::GET, path);
        let html = get().header("accept", "text/html");
        client.send(html).await.problem(406, "not-acceptable");
        let unknown = get().query(&[("x", "y")]);
        client.send(unknown).await.problem(400, "invalid-query");
    }
    let unknown = cancel().query(&[("x", "y")]);
    client.send(unknown).await.problem(400, "invalid-query");
    until_settled(&server).await;
    server.finish().await;
}

/// Requests of an admin with an unknown id, or without a body.
fn requests(client: &Client) -> Vec<reqwest::RequestBuilder> {
    let transfer = format!("/transfers/{}", "0".repeat(32));
    let mut requests = vec![
        client.request(Method::DELETE, &transfer),
        client
            .request(Method::POST, "/transfers")
            .json(&json!({"from": "disk", "to": "archive"})),
    ];
    for method in [Method::GET, Method::HEAD] {
        requests.push(client.request(method.clone(), "/transfers"));
        requests.push(client.request(method, &transfer));
    }
    requests
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_away_is_told() {
    let settings = [
        ("FILESERVER_AUTH", "token"),
        ("FILESERVER_STORES_ARCHIVE_KIND", "disk"),
        ("FILESERVER_STORES_ARCHIVE_PATH", "archive"),
    ];
    let (server, proxy) = Server::start_behind_proxy_with(Kind::Postgres, &settings).await;
    let client = admin(&server);
    client.get("/transfers").await;
    proxy.cut();
    for request in requests(&client) {
        assert_eq!(client.try_send(request).await.unwrap().status, 503);
    }
    proxy.mend();
    server.stop().await;
}

#[tokio::test]
async fn a_body_that_does_not_come_is_broken_off() {
    let settings = [
        ("FILESERVER_AUTH", "token"),
        ("FILESERVER_BODY_IDLE_TIMEOUT", "1"),
    ];
    let server = Server::start(Kind::Sqlite, &settings).await;
    let client = admin(&server);
    let stalled = futures_util::stream::pending::<Result<Vec<u8>, std::io::Error>>();
    let request = client
        .request(Method::POST, "/transfers")
        .header("content-type", "application/json")
        .body(reqwest::Body::wrap_stream(stalled));
    client.send(request).await.problem(408, "too-slow");
    server.finish().await;
}

#[tokio::test]
async fn a_rate_is_kept() {
    let (server, _oss) = with_both(&[]).await;
    let client = admin(&server);
    for _ in 0..20 {
        assert_eq!(client.upload("a.bin", random(100_000)).await.status, 201);
    }
    let began = Instant::now();
    let moved = server.command(&[
        "transfer", "--from", "ceph", "--to", "oss", "--rate", "500kB/s",
    ]);
    let took = began.elapsed();
    let said = String::from_utf8_lossy(&moved.stdout).into_owned();
    assert!(
        moved.status.success(),
        "{said}{}",
        String::from_utf8_lossy(&moved.stderr)
    );
    assert!(said.starts_with("20 files of"), "{said}");
    assert!(took > Duration::from_millis(3_500), "{took:?}");
    assert_eq!(lie_in(&server, "oss"), 20);
    server.finish().await;
}

#[tokio::test]
async fn a_copy_never_waits_for_memory_that_it_has_itself() {
    // What one copy into the bucket needs is all that there is, and reading a disk takes some, too.
    let settings = [
        ("FILESERVER_PRIMARY", "disk"),
        ("FILESERVER_AUTH", "token"),
        ("FILESERVER_STORES_CEPH_SEGMENT_SIZE", "10MiB"),
        ("FILESERVER_CONCURRENT_UPLOADS", "1"),
        ("FILESERVER_REQUEST_MEMORY", "16908288"),
    ];
    let server = start(Kind::Sqlite, Ceph::settings(), &settings).await;
    let client = admin(&server);
    for _ in 0..3 {
        assert_eq!(client.upload("a.bin", random(20_000_000)).await.status, 201);
    }
    start_transfer(&client, json!({"from": "disk", "to": "ceph"})).await;
    eventually(|| lie_in(&server, "ceph") == 3).await;
    until_settled(&server).await;
    server.finish().await;
}

/// The clients' work while files move, and the files that they know of.
struct Traffic {
    /// The files that exist, and their bytes.
    kept: Mutex<Vec<(Sha1, Vec<u8>)>>,
    gone: Mutex<HashSet<Sha1>>,
    is_over: AtomicBool,
}

impl Traffic {
    async fn keep_going(self: Arc<Self>, client: Client, seed: u64) {
        let mut step = seed;
        while !self.is_over.load(Ordering::Relaxed) {
            step = step.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let pick = usize::try_from(step >> 33).unwrap();
            match pick % 4 {
                0 => {
                    let bytes = unique_text().into_bytes();
                    let answer = client.upload("new.txt", bytes.clone()).await;
                    assert_eq!(answer.status, 201, "{}", answer.text());
                    let sha1 = answer.meta().file_sha1;
                    self.kept.lock().unwrap().push((sha1, bytes));
                }
                1 => {
                    let victim = {
                        let mut kept = self.kept.lock().unwrap();
                        let number = pick % kept.len();
                        kept.swap_remove(number).0
                    };
                    let path = format!("/files/{victim}?purge=true");
                    let gone = client.request(Method::DELETE, &path);
                    assert_eq!(client.send(gone).await.status, 204);
                    self.gone.lock().unwrap().insert(victim);
                }
                2 => {
                    let sha1 = self.any(pick).0;
                    let renamed = client.patch(&sha1, &json!({"file_name": "renamed"})).await;
                    // Another client of this test may have deleted it.
                    assert!(
                        matches!(renamed.status.as_u16(), 200 | 404),
                        "{}",
                        renamed.text()
                    );
                }
                _ => {
                    let (sha1, bytes) = self.any(pick);
                    let read = read(&client, &sha1).await;
                    let is_whole = read.status == 200 && read.body == bytes;
                    assert!(
                        is_whole || read.status == 404 && self.is_gone(&sha1).await,
                        "{sha1}: {} {}",
                        read.status,
                        read.text()
                    );
                }
            }
        }
    }

    fn any(&self, pick: usize) -> (Sha1, Vec<u8>) {
        let kept = self.kept.lock().unwrap();
        kept[pick % kept.len()].clone()
    }

    /// Returns whether a client deleted a file, even if its answer has not come yet.
    async fn is_gone(&self, sha1: &Sha1) -> bool {
        for _ in 0..100 {
            if self.gone.lock().unwrap().contains(sha1) {
                return true;
            }
            sleep(Duration::from_millis(20)).await;
        }
        false
    }
}

/// Reads a file, and again if it lies in a store that is away for the moment.
async fn read(client: &Client, sha1: &Sha1) -> Answer {
    let began = Instant::now();
    loop {
        let read = client.request(Method::GET, &format!("/files/{sha1}/content"));
        let answer = client.try_send(read).await.unwrap();
        if answer.status != 503 || began.elapsed() > Duration::from_mins(2) {
            return answer;
        }
        sleep(Duration::from_millis(100)).await;
    }
}

/// Files move from Ceph to OSS under all kinds of traffic, while workers, the broker and the stores
/// are killed now and then.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_moves_under_traffic_while_things_are_killed() {
    let _broker = BROKER.lock().await;
    let queue = format!("move-{}", unique_text().replace(' ', "-"));
    let broker = variable("TEST_AMQP_URL");
    let settings = [
        ("FILESERVER_NO_WORKER", "true"),
        ("FILESERVER_TRANSFER_BROKER", broker.as_str()),
        ("FILESERVER_TRANSFER_QUEUE", queue.as_str()),
        ("FILESERVER_PURGE_GRACE", "1"),
        ("FILESERVER_TRANSFER_ATTEMPTS", "100"),
    ];
    let mut gateway = Gateway::start();
    let (mut server, mut oss) = with(gateway.settings(), &settings).await;
    let client = admin(&server);
    let kept = fill(&client, count()).await;
    // From now on, uploads go to the new store.
    server.stop().await;
    server.set("FILESERVER_PRIMARY", "oss");
    server.restart().await;
    let traffic = Arc::new(Traffic {
        kept: Mutex::new(kept),
        gone: Mutex::default(),
        is_over: AtomicBool::new(false),
    });
    let mut running = Vec::new();
    for seed in 0..4 {
        let (traffic, client) = (Arc::clone(&traffic), client.clone());
        running.push(tokio::spawn(traffic.keep_going(client, seed)));
    }
    let wanted = json!({"from": "ceph", "to": "oss"});
    let location = start_transfer(&client, wanted).await;
    let mut workers = [worker(&server), worker(&server)];
    let began = Instant::now();
    let (mut round, mut before) = (0_usize, None);
    loop {
        sleep(Duration::from_secs(2)).await;
        let transfer = client.get(&location).await.json();
        if transfer["state"] != "running" {
            assert_eq!(transfer["state"], "done", "{transfer}");
            assert_eq!(transfer["failed_files"], 0, "{transfer}");
            break;
        }
        assert!(began.elapsed() < Duration::from_hours(1), "{transfer}");
        if before.as_ref() == Some(&transfer["copied_files"]) {
            free_jobs(&server);
        }
        before = Some(transfer["copied_files"].clone());
        round += 1;
        if round <= 6 {
            let number = round % 2;
            workers[number].kill().await.unwrap();
            workers[number] = worker(&server);
        }
        if round == 3 {
            restart("restart-broker").await;
        }
        if round == 5 {
            oss.restart();
        }
        match round {
            2 => freeze(gateway.id(), true),
            4 => freeze(gateway.id(), false),
            6 => gateway.restart(),
            _ => {}
        }
    }
    traffic.is_over.store(true, Ordering::Relaxed);
    for running in running {
        running.await.unwrap();
    }
    eventually(|| lie_in(&server, "ceph") == 0).await;
    server.stop().await;
    server.set("FILESERVER_NO_WORKER", "false");
    server.restart().await;
    until_gone_at_once(&server).await;
    for worker in &mut workers {
        worker.kill().await.unwrap();
    }
    let (kept, gone) = (traffic.kept.lock().unwrap().clone(), &traffic.gone);
    for (sha1, bytes) in &kept {
        let content = client.get(&format!("/files/{sha1}/content")).await;
        assert!(content.status == 200 && content.body == *bytes, "{sha1}");
    }
    assert!(!gone.lock().unwrap().is_empty() && kept.len() > count() / 2);
    server.finish().await;
}

async fn fill(client: &Client, count: usize) -> Vec<(Sha1, Vec<u8>)> {
    let mut kept = Vec::new();
    for size in [30_000_000, 5_000_000, 600_000] {
        let bytes = random(size);
        let meta = client.upload_raw("large.bin", bytes.clone()).await.meta();
        kept.push((meta.file_sha1, bytes));
    }
    let numbers: Vec<usize> = (0..count).collect();
    for some in numbers.chunks(32) {
        let uploads = some.iter().map(|_| client.upload_some("small.txt"));
        kept.extend(futures_util::future::join_all(uploads).await);
    }
    kept
}

/// Kills a server of `tests/servers`, and restarts it.
async fn restart(command: &str) {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/servers");
    let servers = variable("TEST_SERVERS");
    let status = Command::new(script).args([command, &servers]).status();
    assert!(status.await.unwrap().success());
}
