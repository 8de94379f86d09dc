//! Copies to another store, in the background.

use std::{
    process::Stdio,
    time::{Duration, Instant},
};

use domain::Sha1;
use futures_util::{StreamExt as _, stream};
use harness::{
    Ceph, Gateway, Kind, Oss, Server, StoreSettings, binary, freeze, lent, random, unique_text,
    variable,
};
use serde_json::json;
use tokio::{
    process::{Child, Command},
    time::sleep,
};

use crate::linking::share;

/// The time within which background work is done.
const PATIENCE: Duration = Duration::from_mins(1);

/// A service that keeps what is uploaded on its disk, and moves it to OSS.
pub(crate) struct Moving {
    pub(crate) server: Server,
    pub(crate) oss: Oss,
}

impl Moving {
    pub(crate) async fn start(kind: Kind, settings: &[(&'static str, &str)]) -> Self {
        let oss = Oss::start();
        let server = start(kind, oss.settings(), settings).await;
        Self { server, oss }
    }

    /// Stops the service, and asserts that all objects are where they should be.
    pub(crate) async fn finish(self) {
        self.server.finish().await;
    }

    /// Waits until nothing is left to be copied.
    pub(crate) async fn settle(&self) {
        until_settled(&self.server).await;
    }
}

/// Starts a service with a store that is no disk.
pub(crate) async fn start(
    kind: Kind,
    stores: StoreSettings,
    settings: &[(&'static str, &str)],
) -> Server {
    let mut all = lent(&stores);
    all.push(("FILESERVER_TRANSFER_RETRY", "1"));
    all.push(("FILESERVER_COPY_GRACE", "1"));
    for (name, value) in settings {
        all.retain(|(other, _)| other != name);
        all.push((name, value));
    }
    Server::start(kind, &all).await
}

/// Frees the jobs of killed processes, which would be free after a minute.
pub(crate) fn free_jobs(server: &Server) {
    let free = "UPDATE tbl_job SET holder = NULL, due_at = 0 WHERE status = 0";
    let _ = server.database().sql(free);
}

/// The number of jobs, by their status.
fn jobs(server: &Server) -> (u64, u64) {
    let count = |condition: &str| {
        let sql = format!("SELECT COUNT(*) FROM tbl_job WHERE {condition}");
        server.database().sql(&sql).trim().parse().unwrap()
    };
    (count("status = 0"), count("status = 1"))
}

pub(crate) async fn until_settled(server: &Server) {
    let began = Instant::now();
    while jobs(server).0 > 0 {
        assert!(began.elapsed() < PATIENCE, "jobs are not done");
        sleep(Duration::from_millis(100)).await;
    }
}

/// Waits until a store holds no object that a row refers to, or that is due for deletion.
async fn until_gone(server: &Server) {
    let pending = || server.database().sql("SELECT COUNT(*) FROM tbl_leftover");
    let (mut since, mut before) = (Instant::now(), pending());
    while before.trim() != "0" {
        sleep(Duration::from_millis(200)).await;
        let now = pending();
        if now != before {
            (since, before) = (Instant::now(), now);
        }
        assert!(since.elapsed() < PATIENCE, "{before} old copies stay");
    }
}

/// The stores that contents lie in, and how many there are in each.
pub(crate) fn addresses(server: &Server) -> Vec<String> {
    let mut addresses = Vec::new();
    let shards: Vec<String> = (0..256)
        .map(|shard| format!("SELECT file_addr FROM tbl_{shard:02x}"))
        .collect();
    for some in shards.chunks(64) {
        let found = server.database().sql(&some.join(" UNION ALL "));
        addresses.extend(found.lines().map(|line| line.trim().to_owned()));
    }
    addresses
}

/// Held by a test that needs the broker to run, or that restarts it.
pub(crate) static BROKER: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

const MOVE_TO_OSS: [(&str, &str); 2] = [
    ("FILESERVER_TRANSFER_POLICY", "move"),
    ("FILESERVER_TRANSFER_TO", "oss"),
];

macro_rules! on_each {
    ($($test:ident,)+) => {
        mod sqlite {
            $(#[tokio::test] async fn $test() { super::$test(harness::Kind::Sqlite).await; })+
        }
        mod mariadb {
            $(#[tokio::test] async fn $test() { super::$test(harness::Kind::MariaDb).await; })+
        }
        mod postgres {
            $(#[tokio::test] async fn $test() { super::$test(harness::Kind::Postgres).await; })+
        }
    };
}
on_each! {
    what_is_uploaded_is_moved_behind_its_owners_back,
    a_copy_serves_when_the_first_fails,
    what_a_target_spoils_stays_where_it_was,
    a_worker_that_is_killed_at_any_step_has_done_nothing_or_all,
    workers_that_are_killed_lose_nothing,
    a_file_that_is_deleted_while_it_is_copied_stays_deleted,
}

async fn what_is_uploaded_is_moved_behind_its_owners_back(kind: Kind) {
    let moving = Moving::start(kind, &MOVE_TO_OSS).await;
    let client = moving.server.client();
    let mut files = Vec::new();
    for size in [0, 1, 600_000, 40_000_000] {
        let bytes = random(size);
        let meta = client.upload_raw("a.bin", bytes.clone()).await.meta();
        files.push((meta.file_sha1, bytes));
    }
    for _ in 0..20 {
        files.push(client.upload_some("b.txt").await);
    }
    moving.settle().await;
    let lie_in_oss = |address: &String| address.starts_with("oss:");
    let found = addresses(&moving.server);
    assert!(
        found.len() == 24 && found.iter().all(lie_in_oss),
        "{found:?}"
    );
    for (sha1, bytes) in &files {
        let content = client.get(&format!("/files/{sha1}/content")).await;
        assert_eq!(content.status, 200, "{}", content.text());
        assert!(content.body == *bytes);
    }
    until_gone(&moving.server).await;
    assert!(moving.server.objects().is_empty(), "the disk is empty");
    // A known content is neither sent nor copied again, whichever store has it.
    let again = client.upload_raw("c.bin", files[2].1.clone()).await;
    assert_eq!(again.status, 200);
    assert_eq!(jobs(&moving.server), (0, 0));
    let metrics = client.get("/metrics").await.text();
    for line in [
        "fileserver_copies_total{from=\"disk\",to=\"oss\",result=\"copied\"} 24",
        "fileserver_jobs_waiting 0",
        "fileserver_store_operation_duration_seconds_count{store=\"oss\",operation=\"write\"}",
        "fileserver_store_errors_total{store=\"oss\",operation=\"read\"} 0",
    ] {
        assert!(metrics.contains(line), "{line}: {metrics}");
    }
    moving.finish().await;
}

async fn a_copy_serves_when_the_first_fails(kind: Kind) {
    let oss = Oss::start();
    let settings = [
        ("FILESERVER_PRIMARY", "oss"),
        ("FILESERVER_STORES_OSS_TIMEOUT", "1"),
        ("FILESERVER_STORES_SECOND_KIND", "disk"),
        ("FILESERVER_STORES_SECOND_PATH", "second"),
        ("FILESERVER_TRANSFER_POLICY", "copy"),
        ("FILESERVER_TRANSFER_TO", "second"),
    ];
    let server = start(kind, oss.settings(), &settings).await;
    let client = server.client();
    let (sha1, bytes) = client.upload_some("a.txt").await;
    let large = random(3_000_000);
    let meta = client.upload_raw("b.bin", large.clone()).await.meta();
    until_settled(&server).await;
    oss.fault(&json!({"kind": "error", "operation": "GET"}))
        .await;
    let path = format!("/files/{sha1}/content");
    assert_eq!(client.get(&path).await.body, bytes);
    let content = client
        .get(&format!("/files/{}/content", meta.file_sha1))
        .await;
    assert!(content.body == large);
    // A store that failed is asked last for a while, so other requests do not wait for it.
    let began = Instant::now();
    assert_eq!(client.get(&path).await.body, bytes);
    assert!(began.elapsed() < Duration::from_millis(900));
    oss.mend().await;
    assert_eq!(client.delete(&sha1).await.status, 204);
    server.finish().await;
}

async fn what_a_target_spoils_stays_where_it_was(kind: Kind) {
    let settings = [
        MOVE_TO_OSS[0],
        MOVE_TO_OSS[1],
        ("FILESERVER_STORES_OSS_TIMEOUT", "1"),
    ];
    let moving = Moving::start(kind, &settings).await;
    let client = moving.server.client();
    for fault in [
        json!({"kind": "error"}),
        json!({"kind": "hang", "operation": "PUT"}),
        json!({"kind": "hang", "operation": "GET"}),
        json!({"kind": "truncate", "operation": "GET"}),
        json!({"kind": "flip", "operation": "GET"}),
        json!({"kind": "flip-stored", "operation": "PUT"}),
    ] {
        moving.oss.fault(&fault).await;
        let (sha1, bytes) = client.upload_some("a.txt").await;
        let began = Instant::now();
        let tried = "SELECT COUNT(*) FROM tbl_job WHERE attempts > 0";
        while moving.server.database().sql(tried).trim() == "0" {
            assert!(began.elapsed() < PATIENCE, "{fault} is not noticed");
            sleep(Duration::from_millis(50)).await;
        }
        let row = address_of(&moving.server, &sha1);
        assert!(row.starts_with("disk:"), "{fault}: {row}");
        let content = client.get(&format!("/files/{sha1}/content")).await;
        assert_eq!(content.body, bytes);
        moving.oss.mend().await;
        moving.settle().await;
        let row = address_of(&moving.server, &sha1);
        assert!(row.starts_with("oss:"), "{fault}: {row}");
        let content = client.get(&format!("/files/{sha1}/content")).await;
        assert_eq!(content.body, bytes);
    }
    let metrics = client.get("/metrics").await.text();
    let line = "fileserver_copies_total{from=\"disk\",to=\"oss\",result=\"failed\"}";
    assert!(metrics.contains(line), "{metrics}");
    until_gone_at_once(&moving.server).await;
    assert_eq!(moving.oss.files(), 6, "copies that were refused are gone");
    moving.finish().await;
}

/// The store of a file's content.
fn address_of(server: &Server, sha1: &Sha1) -> String {
    let text = sha1.to_string();
    let shard = &text[38..];
    let sql = format!("SELECT file_addr FROM tbl_{shard} WHERE file_sha1 = '{text}'");
    server.database().sql(&sql).trim().to_owned()
}

/// Each of the steps in which a copy waits for a store; when the row is switched, nothing is waited
/// for but the database.
async fn a_worker_that_is_killed_at_any_step_has_done_nothing_or_all(kind: Kind) {
    let gateway = Gateway::start();
    let oss = Oss::start();
    let stores = gateway.settings().into_iter().chain(oss.settings());
    let settings = [
        MOVE_TO_OSS[0],
        MOVE_TO_OSS[1],
        ("FILESERVER_PRIMARY", "ceph"),
        ("FILESERVER_NO_WORKER", "true"),
    ];
    let server = start(kind, stores.collect(), &settings).await;
    let client = server.client();
    let (small, large) = (3_000, 9_000_000);
    // Of a large one, the second POST completes what the first has begun.
    let steps = [
        (small, "reading", None),
        (
            small,
            "writing",
            Some(json!({"kind": "hang", "operation": "PUT"})),
        ),
        (
            small,
            "reading back",
            Some(json!({"kind": "hang", "operation": "GET"})),
        ),
        (large, "reading", None),
        (
            large,
            "beginning",
            Some(json!({"kind": "hang", "operation": "POST"})),
        ),
        (
            large,
            "writing",
            Some(json!({"kind": "hang", "operation": "PUT", "after": 1})),
        ),
        (
            large,
            "completing",
            Some(json!({"kind": "hang", "operation": "POST", "after": 1})),
        ),
        (
            large,
            "reading back",
            Some(json!({"kind": "hang", "operation": "GET"})),
        ),
    ];
    for (size, step, fault) in steps {
        let bytes = random(size);
        let sha1 = client
            .upload_raw("a.bin", bytes.clone())
            .await
            .meta()
            .file_sha1;
        let before = hung(&oss).await;
        match &fault {
            Some(fault) => oss.fault(fault).await,
            None => freeze(gateway.id(), true),
        }
        let mut killed = worker(&server);
        let began = Instant::now();
        let held = "SELECT COUNT(*) FROM tbl_job WHERE holder IS NOT NULL";
        while server.database().sql(held).trim() == "0"
            || fault.is_some() && hung(&oss).await == before
        {
            assert!(began.elapsed() < PATIENCE, "{step} is not come to");
            sleep(Duration::from_millis(50)).await;
        }
        // The last question before the store's, if that is what hangs.
        sleep(Duration::from_millis(100)).await;
        killed.kill().await.unwrap();
        match &fault {
            Some(_) => oss.mend().await,
            None => freeze(gateway.id(), false),
        }
        let row = address_of(&server, &sha1);
        assert!(row.starts_with("ceph:"), "{step}: {row}");
        free_jobs(&server);
        let mut next = worker(&server);
        until_settled(&server).await;
        let row = address_of(&server, &sha1);
        assert!(row.starts_with("oss:"), "{step}: {row}");
        next.kill().await.unwrap();
        let content = client.get(&format!("/files/{sha1}/content")).await;
        assert!(content.body == bytes, "{step}");
    }
    let mut last = worker(&server);
    until_gone_at_once(&server).await;
    last.kill().await.unwrap();
    server.finish().await;
}

/// The number of requests that the stand-in has left hanging so far.
async fn hung(oss: &Oss) -> u64 {
    oss.counts().await["faults"]["hang"]
        .as_u64()
        .unwrap_or_default()
}

/// Another process that makes copies.
pub(crate) fn worker(server: &Server) -> Child {
    Command::new(binary())
        .arg("worker")
        .envs(server.settings())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

async fn workers_that_are_killed_lose_nothing(kind: Kind) {
    let settings = [
        MOVE_TO_OSS[0],
        MOVE_TO_OSS[1],
        ("FILESERVER_NO_WORKER", "true"),
    ];
    let moving = Moving::start(kind, &settings).await;
    let client = moving.server.client();
    let uploads = (0..60).map(|number: usize| async move {
        let size = if number.is_multiple_of(20) {
            9_000_000
        } else {
            3_000
        };
        let bytes = random(size);
        let meta = client.upload_raw("a.bin", bytes.clone()).await.meta();
        (meta.file_sha1, bytes)
    });
    let uploads = stream::iter(uploads).buffer_unordered(8);
    let files: Vec<_> = uploads.collect().await;
    // A copy takes many requests, so it is killed at any of its steps.
    let fault = json!({"kind": "slow", "operation": "*", "probability": 0.5});
    moving.oss.fault(&fault).await;
    for round in 0..8_u64 {
        let mut worker = worker(&moving.server);
        sleep(Duration::from_millis(400 + 130 * round)).await;
        worker.kill().await.unwrap();
    }
    moving.oss.mend().await;
    free_jobs(&moving.server);
    let mut workers = [worker(&moving.server), worker(&moving.server)];
    moving.settle().await;
    until_gone_at_once(&moving.server).await;
    for worker in &mut workers {
        worker.kill().await.unwrap();
    }
    let found = addresses(&moving.server);
    assert!(
        found.len() == 60 && found.iter().all(|address| address.starts_with("oss:")),
        "{found:?}"
    );
    for (sha1, bytes) in &files {
        let content = client.get(&format!("/files/{sha1}/content")).await;
        assert!(content.body == *bytes, "{sha1}");
    }
    moving.finish().await;
}

/// Makes all pending deletions due now.
pub(crate) async fn until_gone_at_once(server: &Server) {
    let _ = server
        .database()
        .sql("UPDATE tbl_leftover SET due_at = 1 WHERE due_at > 0");
    until_gone(server).await;
}

async fn a_file_that_is_deleted_while_it_is_copied_stays_deleted(kind: Kind) {
    let settings = [
        MOVE_TO_OSS[0],
        MOVE_TO_OSS[1],
        ("FILESERVER_PURGE_GRACE", "0"),
        ("FILESERVER_DELETED_AGE", "0"),
    ];
    let moving = Moving::start(kind, &settings).await;
    let client = moving.server.client();
    let fault = json!({"kind": "slow", "operation": "*"});
    moving.oss.fault(&fault).await;
    let mut deleted = Vec::new();
    for wait in 0..20_u64 {
        let (sha1, _) = client.upload_some("a.txt").await;
        sleep(Duration::from_millis(wait * 25)).await;
        let path = format!("/files/{sha1}?purge=true");
        let gone = client.request(reqwest::Method::DELETE, &path);
        assert_eq!(client.send(gone).await.status, 204);
        deleted.push(sha1);
    }
    moving.oss.mend().await;
    moving.settle().await;
    let began = Instant::now();
    while !addresses(&moving.server).is_empty() {
        assert!(
            began.elapsed() < PATIENCE,
            "{:?}",
            addresses(&moving.server)
        );
        sleep(Duration::from_millis(200)).await;
    }
    until_gone_at_once(&moving.server).await;
    for sha1 in deleted {
        client
            .get(&format!("/files/{sha1}"))
            .await
            .problem(404, "not-found");
    }
    assert_eq!(moving.oss.files(), 0, "nothing is left there");
    moving.finish().await;
}

#[tokio::test]
async fn a_job_that_fails_too_often_is_dead() {
    let settings = [
        MOVE_TO_OSS[0],
        MOVE_TO_OSS[1],
        ("FILESERVER_TRANSFER_ATTEMPTS", "1"),
    ];
    let moving = Moving::start(Kind::Sqlite, &settings).await;
    let fault = json!({"kind": "error", "operation": "PUT"});
    moving.oss.fault(&fault).await;
    let (sha1, _) = moving.server.client().upload_some("a.txt").await;
    harness::eventually(|| jobs(&moving.server) == (0, 1)).await;
    let said = |arguments: &[&str]| {
        let output = moving.server.command(arguments);
        assert!(output.status.success());
        String::from_utf8(output.stdout).unwrap()
    };
    let dead = said(&["worker", "dead"]);
    assert!(
        dead.contains(&sha1.to_string()) && dead.contains("\tdisk\toss\t1\t"),
        "{dead}"
    );
    assert!(dead.contains("the store oss"), "{dead}");
    moving.oss.mend().await;
    assert_eq!(said(&["worker", "requeue"]), "1 jobs are tried again\n");
    moving.settle().await;
    assert_eq!(jobs(&moving.server), (0, 0));
    moving.finish().await;
}

#[tokio::test]
async fn the_broker_carries_jobs_and_a_broker_that_is_down_only_delays_them() {
    let _broker = BROKER.lock().await;
    let queue = format!("test-{}", unique_text().replace(' ', "-"));
    let broker = variable("TEST_AMQP_URL");
    let settings = [
        MOVE_TO_OSS[0],
        MOVE_TO_OSS[1],
        ("FILESERVER_TRANSFER_BROKER", broker.as_str()),
        ("FILESERVER_TRANSFER_QUEUE", queue.as_str()),
    ];
    let mut moving = Moving::start(Kind::Sqlite, &settings).await;
    let client = moving.server.client().clone();
    for _ in 0..30 {
        client.upload_some("a.txt").await;
    }
    moving.settle().await;
    // With a broker that is not there, uploads go on, and jobs wait.
    moving.server.stop().await;
    let nobody = "amqp://guest:a-secret-password@127.0.0.1:9";
    moving.server.set("FILESERVER_TRANSFER_BROKER", nobody);
    moving.server.restart().await;
    let (sha1, bytes) = client.upload_some("a.txt").await;
    sleep(Duration::from_secs(3)).await;
    assert_eq!(jobs(&moving.server), (1, 0));
    assert_eq!(
        client.get(&format!("/files/{sha1}/content")).await.body,
        bytes
    );
    moving.server.stop().await;
    assert!(!moving.server.log().contains("a-secret-password"));
    moving.server.set("FILESERVER_TRANSFER_BROKER", &broker);
    moving.server.restart().await;
    moving.settle().await;
    assert!(
        addresses(&moving.server)
            .iter()
            .all(|address| address.starts_with("oss:"))
    );
    moving.finish().await;
}

#[tokio::test]
async fn a_secret_has_no_place_on_the_command_line() {
    let server = Server::start(Kind::Sqlite, &[]).await;
    let refused = server.command(&["worker", "--transfer-broker", "amqp://a:b@c", "dead"]);
    assert_eq!(refused.status.code(), Some(2));
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(
        said.contains("transfer-broker") && !said.contains("a:b"),
        "{said}"
    );
    let mut server = server;
    server.set("FILESERVER_TRANSFER_BROKER", "amqp://a:a-secret-password@c");
    let help = server.command(&["serve", "--help"]);
    let help = String::from_utf8_lossy(&help.stdout);
    assert!(help.contains("transfer-broker") && !help.contains("a-secret-password"));
    server.finish().await;
}

/// A second SIGTERM does not wait for copies.
#[tokio::test]
async fn a_service_that_is_told_twice_leaves_its_copies_to_others() {
    let moving = Moving::start(Kind::Sqlite, &MOVE_TO_OSS).await;
    let fault = json!({"kind": "hang", "operation": "PUT"});
    moving.oss.fault(&fault).await;
    let client = moving.server.client();
    let (sha1, bytes) = client.upload_some("a.txt").await;
    let began = Instant::now();
    while hung(&moving.oss).await == 0 {
        assert!(began.elapsed() < PATIENCE, "the copy is not begun");
        sleep(Duration::from_millis(50)).await;
    }
    let began = Instant::now();
    moving.server.stop_at_once().await;
    assert!(
        began.elapsed() < Duration::from_secs(15),
        "{:?}",
        began.elapsed()
    );
    moving.oss.mend().await;
    moving.server.restart().await;
    free_jobs(&moving.server);
    moving.settle().await;
    let row = address_of(&moving.server, &sha1);
    assert!(row.starts_with("oss:"), "{row}");
    let content = client.get(&format!("/files/{sha1}/content")).await;
    assert_eq!(content.body, bytes);
    moving.finish().await;
}

/// A store that hangs in the middle of an upload: an error in bounded time, and no partial object.
#[tokio::test]
async fn a_store_that_stops_in_the_middle_of_an_upload_leaves_nothing() {
    let oss = Oss::start();
    let settings = [
        ("FILESERVER_PRIMARY", "oss"),
        ("FILESERVER_STORES_OSS_TIMEOUT", "1"),
        ("FILESERVER_STORES_OSS_SEGMENT_SIZE", "2MiB"),
    ];
    let server = start(Kind::Sqlite, oss.settings(), &settings).await;
    let client = server.client();
    let (before, bytes) = client.upload_some("before.txt").await;
    // One is in its midst, one begins later.
    let (pieces, receiver) = tokio::sync::mpsc::channel::<Result<Vec<u8>, std::io::Error>>(1);
    let body = stream::unfold(receiver, |mut receiver| async {
        receiver.recv().await.map(|piece| (piece, receiver))
    });
    let body = reqwest::Body::wrap_stream(body);
    let early = tokio::spawn({
        let client = client.clone();
        async move { client.upload_raw("a.bin", body).await }
    });
    pieces.send(Ok(random(3_000_000))).await.unwrap();
    sleep(Duration::from_millis(500)).await;
    freeze(oss.id(), true);
    let began = Instant::now();
    // It may have been refused by then.
    let _ = pieces.send(Ok(random(3_000_000))).await;
    drop(pieces);
    let late = client.upload_raw("a.bin", random(1_000)).await;
    late.problem(503, "unavailable");
    early.await.unwrap().problem(503, "unavailable");
    let path = format!("/files/{before}/content");
    let content = client.request(reqwest::Method::GET, &path);
    let content = client.try_send(content).await.unwrap();
    content.problem(503, "unavailable");
    client.get("/readyz").await.problem(503, "unavailable");
    assert!(
        began.elapsed() < Duration::from_secs(30),
        "{:?}",
        began.elapsed()
    );
    freeze(oss.id(), false);
    assert_eq!(client.get(&path).await.body, bytes);
    assert_eq!(client.list_all("").await.len(), 1);
    assert_eq!(
        client.upload_raw("a.bin", random(5_000_000)).await.status,
        201
    );
    server.finish().await;
}

#[tokio::test]
async fn who_downloads_is_sent_to_the_store_if_the_settings_want_that() {
    let settings = [
        ("FILESERVER_PRIMARY", "ceph"),
        ("FILESERVER_STORES_CEPH_DOWNLOADS", "redirect"),
    ];
    let server = start(Kind::Sqlite, Ceph::settings(), &settings).await;
    let client = server.client();
    let bytes = random(100_000);
    let meta = client.upload_raw("数 据.bin", bytes.clone()).await.meta();
    let path = format!("/files/{}/content", meta.file_sha1);
    let stays = reqwest::redirect::Policy::none();
    let http = harness::http().redirect(stays).build().unwrap();
    let answer = client.get(&path).await;
    assert_eq!(answer.status, 307, "{}", answer.text());
    let location = answer.header("location").to_owned();
    assert!(location.starts_with(&Ceph::endpoint()), "{location}");
    let fetched = http.get(location).header("range", "bytes=5-9");
    let fetched = fetched.send().await.unwrap();
    assert_eq!(fetched.status(), 206);
    let disposition = fetched.headers()["content-disposition"].to_str().unwrap();
    assert!(disposition.contains("attachment"), "{disposition}");
    assert_eq!(fetched.bytes().await.unwrap(), bytes[5..10]);
    // So is a client that follows a link.
    let link = client
        .send(share(client, &meta.file_sha1.to_string()))
        .await;
    let by_link = client.get(link.json()["url"].as_str().unwrap()).await;
    assert_eq!(by_link.status, 307);
    assert!(by_link.header("location").starts_with(&Ceph::endpoint()));
    // With a condition the service answers itself, since the store has another tag.
    let tag = format!("\"{}\"", meta.file_sha1);
    let conditional = http.get(client.url(&path)).header("if-match", tag);
    assert_eq!(conditional.send().await.unwrap().status(), 200);
    // The command line follows, and tells the store no token.
    let folder = tempfile::tempdir().unwrap();
    let got = Command::new(binary())
        .args(["get", "--server", &client.url(""), "--token", "fst_secret"])
        .arg(meta.file_sha1.to_string())
        .current_dir(folder.path())
        .output()
        .await
        .unwrap();
    assert!(
        got.status.success(),
        "{}",
        String::from_utf8_lossy(&got.stderr)
    );
    assert_eq!(
        std::fs::read(folder.path().join("数 据.bin")).unwrap(),
        bytes
    );
    server.finish().await;
}
