//! Entries in Redis, and requests that are counted there for all replicas together.

use std::{
    io::{BufRead as _, BufReader},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use domain::Sha1;
use harness::{Answer, Client, Kind, Redis, Server, binary, freeze, lent, unique_text};
use reqwest::Method;
use serde_json::json;
use tokio::time::sleep;

/// The time that requests may take on a busy machine if they wait for nothing.
const SOON: Duration = Duration::from_secs(5);

fn path(sha1: &Sha1) -> String {
    format!("/files/{sha1}")
}

/// Asks for a file with a condition.
async fn ask(client: &Client, sha1: &Sha1, field: &str, tag: &str) -> Answer {
    let request = client.request(Method::GET, &path(sha1)).header(field, tag);
    client.send(request).await
}

/// The number of cache hits.
async fn hits(client: &Client) -> u64 {
    let metrics = client.get("/metrics").await.text();
    let hits = metrics
        .lines()
        .find_map(|line| line.strip_prefix("fileserver_cache_hits_total "));
    hits.unwrap().parse().unwrap()
}

/// Uploads a file to one process, and lets another one cache it.
async fn remembered(here: &Client, there: &Client) -> Sha1 {
    let (sha1, _) = here.upload_some("old.txt").await;
    assert_eq!(
        there.get(&path(&sha1)).await.meta().file_name.as_str(),
        "old.txt"
    );
    let before = hits(there).await;
    assert_eq!(there.get(&path(&sha1)).await.status, 200);
    assert!(hits(there).await > before, "it is not remembered");
    sha1
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hot_entry_costs_no_query() {
    for kind in [Kind::MariaDb, Kind::Postgres] {
        let redis = Redis::start();
        let (server, proxy) = Server::start_behind_proxy_with(kind, &lent(&redis.settings())).await;
        let client = server.client();
        let (sha1, bytes) = client.upload_some("hot.txt").await;
        let (cold, _) = client.upload_some("cold.txt").await;
        let content = format!("{}/content", path(&sha1));
        let first = client.get(&path(&sha1)).await;
        let tag = first.header("etag").to_owned();
        let not_modified = ask(client, &sha1, "if-none-match", &tag).await;
        assert_eq!(client.get(&content).await.body, bytes);
        proxy.cut();
        let hot = client.get(&path(&sha1)).await;
        assert_eq!((hot.status, &hot.body), (first.status, &first.body));
        for field in ["etag", "cache-control", "content-type"] {
            assert_eq!(hot.header(field), first.header(field));
        }
        let again = ask(client, &sha1, "if-none-match", &tag).await;
        assert_eq!(again.status, 304);
        assert_eq!(again.header("etag"), not_modified.header("etag"));
        assert_eq!(
            ask(client, &sha1, "if-none-match", "\"x\"").await.status,
            200
        );
        assert_eq!(client.get(&content).await.body, bytes);
        // Entries that were not read before, and requests that need the newest, read the database.
        client.get(&path(&cold)).await.problem(503, "unavailable");
        let answer = ask(client, &sha1, "if-match", &tag).await;
        answer.problem(503, "unavailable");
        let patch = json!({"file_name": "other.txt"});
        client
            .patch(&sha1, &patch)
            .await
            .problem(503, "unavailable");
        proxy.mend();
        server.finish().await;
    }
}

#[tokio::test]
async fn every_replica_sees_a_change_at_once() {
    let redis = Redis::start();
    let settings = redis.settings();
    for kind in [Kind::Sqlite, Kind::MariaDb] {
        let server = Server::alone(kind, &lent(&settings)).await;
        let (process, there) = server.second_process().await;
        let here = server.client();

        let renamed = remembered(here, &there).await;
        let old = there.get(&path(&renamed)).await.header("etag").to_owned();
        assert_eq!(
            here.patch(&renamed, &json!({"file_name": "new.txt"}))
                .await
                .status,
            200
        );
        let now = ask(&there, &renamed, "if-none-match", &old).await;
        assert_eq!(now.meta().file_name.as_str(), "new.txt");

        let deleted = remembered(here, &there).await;
        assert_eq!(here.delete(&deleted).await.status, 204);
        there.get(&path(&deleted)).await.problem(404, "not-found");
        let content = format!("{}/content", path(&deleted));
        there.get(&content).await.problem(404, "not-found");
        assert_eq!(
            here.patch(&deleted, &json!({"status": "available"}))
                .await
                .status,
            200
        );
        assert_eq!(there.get(&path(&deleted)).await.status, 200);

        let given_up = remembered(here, &there).await;
        let purge = here.request(Method::DELETE, &format!("{}?purge=true", path(&given_up)));
        assert_eq!(here.send(purge).await.status, 204);
        there.get(&path(&given_up)).await.problem(404, "not-found");
        drop(process);
        server.finish().await;
    }
}

#[tokio::test]
async fn an_upload_over_a_deleted_file_ends_what_a_lost_message_left() {
    let redis = Redis::start();
    let mut settings = redis.settings();
    settings.push(("FILESERVER_REDIS_PREFIX", "fileserver".to_owned()));
    let server = Server::alone(Kind::Sqlite, &lent(&settings)).await;
    let client = server.client();
    let text = unique_text();
    let sha1 = client
        .upload_raw("old.txt", text.clone())
        .await
        .meta()
        .file_sha1;
    assert_eq!(client.get(&path(&sha1)).await.status, 200);
    let key = redis.ask(&["KEYS", "fileserver:*"]);
    let value = redis.ask(&["GET", &key]);
    assert_eq!(client.delete(&sha1).await.status, 204);
    assert_eq!(redis.ask(&["GET", &key]), "-");
    // As if the tombstone had been lost.
    assert_eq!(redis.ask(&["SET", &key, &value]), "OK");
    assert_eq!(
        client.get(&path(&sha1)).await.meta().file_name.as_str(),
        "old.txt"
    );
    assert_eq!(client.upload_raw("new.txt", text).await.status, 201);
    assert_eq!(
        client.get(&path(&sha1)).await.meta().file_name.as_str(),
        "new.txt"
    );
    server.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_whose_answer_was_lost_is_seen() {
    for kind in [Kind::MariaDb, Kind::Postgres] {
        let redis = Redis::start();
        let (server, proxy) = Server::start_behind_proxy_with(kind, &lent(&redis.settings())).await;
        let client = server.client();
        let (sha1, _) = client.upload_some("a.txt").await;
        assert_eq!(client.get(&path(&sha1)).await.status, 200);
        proxy.lose_answers_to_commits();
        client.delete(&sha1).await.problem(503, "unavailable");
        proxy.mend();
        // It was committed.
        client.get(&path(&sha1)).await.problem(404, "not-found");
        server.finish().await;
    }
}

#[tokio::test]
async fn a_change_that_redis_is_not_told_of_is_seen_when_the_age_is_over() {
    let redis = Redis::start();
    let mut settings = redis.settings();
    settings.push(("FILESERVER_CACHE_AGE", "2".to_owned()));
    let server = Server::alone(Kind::Sqlite, &lent(&settings)).await;
    let client = server.client();
    let (sha1, _) = client.upload_some("old.txt").await;
    let name = async || client.get(&path(&sha1)).await.meta().file_name.to_string();
    assert_eq!(name().await, "old.txt");
    let begun = Instant::now();
    let _ = server
        .database()
        .sql("UPDATE tbl_user_file SET file_name = 'new.txt'");
    while name().await == "old.txt" {
        assert!(begun.elapsed() < Duration::from_secs(2) + SOON);
        sleep(Duration::from_millis(20)).await;
    }
    assert!(hits(client).await > 0);
    server.finish().await;
}

/// Makes all kinds of requests for a while; every answer has to be right, and come soon.
async fn use_for(client: &Client, time: Duration) {
    let begun = Instant::now();
    while begun.elapsed() < time {
        let (sha1, bytes) = client.upload_some("a.txt").await;
        let steps = Instant::now();
        assert_eq!(
            client.get(&path(&sha1)).await.meta().file_name.as_str(),
            "a.txt"
        );
        let content = client.get(&format!("{}/content", path(&sha1))).await;
        assert_eq!(content.body, bytes);
        assert_eq!(
            client
                .patch(&sha1, &json!({"file_name": "b.txt"}))
                .await
                .status,
            200
        );
        assert_eq!(client.delete(&sha1).await.status, 204);
        assert!(steps.elapsed() < SOON, "{:?}", steps.elapsed());
    }
}

#[tokio::test]
async fn a_redis_that_dies_hangs_or_comes_back_empty_only_costs_speed() {
    let mut redis = Redis::start();
    let mut settings = redis.settings();
    settings.push(("FILESERVER_REDIS_TIMEOUT", "200".to_owned()));
    settings.push(("FILESERVER_REQUESTS_PER_SECOND", "100000".to_owned()));
    let server = Server::alone(Kind::Sqlite, &lent(&settings)).await;
    let client = server.client();
    let seconds = Duration::from_secs(2);
    let trouble = async {
        sleep(seconds).await;
        freeze(redis.id(), true);
        sleep(seconds).await;
        freeze(redis.id(), false);
        sleep(seconds).await;
        redis.restart();
        sleep(seconds).await;
        redis.kill();
        sleep(seconds).await;
        redis.restart();
    };
    tokio::join!(
        trouble,
        use_for(client, seconds * 6),
        use_for(client, seconds * 6)
    );
    let (sha1, _) = client.upload_some("a.txt").await;
    let begun = Instant::now();
    let before = hits(client).await;
    while hits(client).await == before {
        assert!(
            begun.elapsed() < Duration::from_secs(20),
            "it is not found again"
        );
        assert_eq!(client.get(&path(&sha1)).await.status, 200);
        sleep(Duration::from_millis(100)).await;
    }
    let log = server.log();
    assert!(log.contains("going on without Redis"), "{log}");
    assert!(!log.contains("secret-of-redis"), "{log}");
    server.finish().await;
}

/// The number of requests that pass within some seconds, sent to several processes in turn.
async fn passing(clients: &[&Client], seconds: u64) -> u64 {
    let (begun, mut passed) = (Instant::now(), 0);
    while begun.elapsed() < Duration::from_secs(seconds) {
        for client in clients {
            let request = client.request(Method::GET, "/usage");
            let answer = client.try_send(request).await.unwrap();
            if answer.status == 200 {
                passed += 1;
            } else {
                assert_eq!(answer.header("ratelimit"), "\"requests\";r=0;t=1");
                answer.problem(429, "rate-limited");
            }
        }
        sleep(Duration::from_millis(10)).await;
    }
    passed
}

#[tokio::test]
async fn replicas_count_an_owners_requests_together() {
    let mut redis = Redis::start();
    let mut settings = redis.settings();
    settings.push(("FILESERVER_REQUESTS_PER_SECOND", "4".to_owned()));
    let server = Server::alone(Kind::Sqlite, &lent(&settings)).await;
    let (process, there) = server.second_process().await;
    let clients = [server.client(), &there];
    sleep(Duration::from_secs(1)).await;
    for (client, left) in [(clients[0], 3), (clients[1], 2)] {
        let begun = Instant::now();
        let request = client.request(Method::GET, "/usage");
        let answer = client.try_send(request).await.unwrap();
        if begun.elapsed() < Duration::from_millis(250) {
            let state = format!("\"requests\";r={left};t=1");
            assert_eq!(answer.header("ratelimit"), state);
        }
    }
    sleep(Duration::from_secs(1)).await;
    let together = passing(&clients, 4).await;
    // At once, and in four seconds and a bit.
    assert!((12..=4 + 4 * 4 + 6).contains(&together), "{together}");
    redis.kill();
    let alone = passing(&clients, 4).await;
    assert!((26..=2 * (4 + 4 * 4 + 6)).contains(&alone), "{alone}");
    drop(process);
    server.finish().await;
}

/// Starts the service with a Redis, and returns whether it listens, and its log until then.
fn start_with(url: &str) -> (bool, String) {
    let folder = tempfile::tempdir().unwrap();
    let mut child = Command::new(binary())
        .args(["serve", "--listen", "127.0.0.1:0", "--log-format", "json"])
        .arg("--data-dir")
        .arg(folder.path())
        .env("FILESERVER_REDIS_URL", url)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let (mut said, mut listens) = (String::new(), false);
    for line in lines {
        let line = line.unwrap();
        said.push_str(&line);
        if line.contains("listening") {
            listens = true;
            break;
        }
    }
    let _ = child.kill();
    let _ = child.wait();
    (listens, said)
}

#[test]
fn a_wrong_url_stops_the_start_and_a_redis_that_is_not_there_does_not() {
    for url in [
        "hunter2",
        "http://:hunter2@127.0.0.1",
        "redis://:hunter2@h/a",
        "rediss://",
    ] {
        let (listens, said) = start_with(url);
        assert!(!listens && said.contains("Redis cannot be used"), "{said}");
        assert!(!said.contains("hunter2"), "{said}");
    }
    let redis = Redis::start();
    let urls = [
        "redis://:hunter2@127.0.0.1:1/2".to_owned(),
        "rediss://:hunter2@127.0.0.1:1".to_owned(),
        redis.url().replace("secret-of-redis", "hunter2"),
        // It does not speak TLS.
        redis.url().replace("redis://", "rediss://"),
    ];
    for url in urls {
        let (listens, said) = start_with(&url);
        assert!(listens && said.contains("going on without Redis"), "{said}");
        assert!(!said.contains("hunter2") && !said.contains("secret-of-redis"));
    }
}
