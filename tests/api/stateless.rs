//! Several processes that share a database and a store, and nothing else.

use std::{
    os::unix::fs::PermissionsExt as _,
    process::Command,
    time::{Duration, Instant},
};

use harness::{
    Ceph, Client, Kind, Replica, Server, Signal, TusUpload, binary, digests, eventually, freeze,
    random, signal, variable,
};
use reqwest::Method;
use serde_json::Value;
use tempfile::TempDir;
use tokio::time::sleep;

use crate::{linking::share, transferring::BROKER};

/// The settings that replicas have to share in addition.
const KEYS: [(&str, &str); 2] = [
    (
        "FILESERVER_CURSOR_KEY",
        "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff",
    ),
    (
        "FILESERVER_LINK_KEYS",
        "ffeeddccbbaa99887766554433221100ffeeddccbbaa99887766554433221100",
    ),
];

/// The store of the replicas' uploads.
enum Place {
    Ceph,
    Folder(TempDir),
}

impl Place {
    fn folder() -> Self {
        Self::Folder(tempfile::tempdir().unwrap())
    }

    fn settings(&self) -> Vec<(&'static str, String)> {
        let mut settings: Vec<(&'static str, String)> = match self {
            Self::Ceph => Ceph::settings(),
            Self::Folder(folder) => vec![
                ("FILESERVER_STORES_SHARED_KIND", "disk".to_owned()),
                (
                    "FILESERVER_STORES_SHARED_PATH",
                    folder.path().to_str().unwrap().to_owned(),
                ),
            ],
        };
        let primary = match self {
            Self::Ceph => "ceph",
            Self::Folder(_) => "shared",
        };
        settings.push(("FILESERVER_PRIMARY", primary.to_owned()));
        settings
    }
}

/// Starts the first of some replicas.
pub(crate) async fn start(
    kind: Kind,
    settings: &[(&'static str, String)],
    others: &[(&'static str, &str)],
) -> Server {
    let settings = settings.iter().map(|(name, value)| (*name, value.as_str()));
    let mut all: Vec<(&'static str, &str)> = settings.chain(KEYS).collect();
    all.extend(others);
    Server::alone(kind, &all).await
}

async fn in_folder(kind: Kind, others: &[(&'static str, &str)]) -> (Server, Place) {
    let place = Place::folder();
    (start(kind, &place.settings(), others).await, place)
}

#[tokio::test]
async fn any_replica_goes_on_with_what_another_began() {
    for (kind, place) in [
        (Kind::MariaDb, Place::Ceph),
        (Kind::Postgres, Place::folder()),
    ] {
        let server = start(kind, &place.settings(), &[]).await;
        let (b, c) = (
            Replica::of(&server, &[]).await,
            Replica::of(&server, &[]).await,
        );
        let clients = [server.client(), b.client(), c.client()];
        by_tus(clients).await;
        by_the_draft(clients).await;
        // A token that one replica signed is valid on the others.
        let [a, b, c] = clients;
        let (sha1, bytes) = a.upload_some("a.txt").await;
        let link = a.send(share(a, &sha1.to_string())).await.json();
        let link = link["url"].as_str().unwrap();
        assert_eq!(b.get(link).await.body, bytes);
        let page = a.get("/files?limit=2").await.json();
        let next = page["next"].as_str().unwrap();
        let rest = c.get(&format!("/files?limit=2&cursor={next}")).await;
        assert_eq!(rest.json()["files"].as_array().unwrap().len(), 1);
        // A change on one replica is visible on the others at once.
        assert_eq!(c.delete(&sha1).await.status, 204);
        b.get(&format!("/files/{sha1}"))
            .await
            .problem(404, "not-found");
        a.get(link).await.problem(404, "link-not-found");
        server.finish().await;
    }
}

/// An upload of three parts, each to another, of which each may be looked at elsewhere.
async fn by_tus(clients: [&Client; 3]) {
    let bytes = random(3_000_000);
    let upload = TusUpload::begin(clients[0], bytes.len(), &[("filename", "tus")]).await;
    for (part, client) in clients.into_iter().enumerate() {
        let at = TusUpload::at(client, &upload.url);
        assert_eq!(at.offset().await, part * 1_000_000);
        let part = bytes[part * 1_000_000..][..1_000_000].to_vec();
        let offset = at.offset().await;
        assert_eq!(at.append(offset, part).await.status, 204);
    }
    let path = format!("/files/{}/content", digests(&bytes).sha1);
    assert!(clients[1].get(&path).await.body == bytes);
}

async fn by_the_draft(clients: [&Client; 3]) {
    let bytes = random(3_000);
    let creation = clients[0].request(Method::POST, "/files?file_name=draft");
    let creation = creation.header("upload-complete", "?0");
    let begun = clients[0]
        .send(creation.body(bytes[..1_000].to_vec()))
        .await;
    let url = begun.header("location").to_owned();
    for (part, client) in clients.into_iter().enumerate().skip(1) {
        let append = client.request(Method::PATCH, &url);
        let append = append
            .header("content-type", "application/partial-upload")
            .header("upload-offset", part * 1_000)
            .header("upload-complete", if part == 2 { "?1" } else { "?0" });
        let append = append.body(bytes[part * 1_000..][..1_000].to_vec());
        let answer = client.send(append).await;
        assert!(answer.status.is_success(), "{}", answer.text());
    }
    let path = format!("/files/{}/content", digests(&bytes).sha1);
    assert!(clients[1].get(&path).await.body == bytes);
}

#[tokio::test]
async fn a_key_that_others_do_not_have_is_told() {
    let own = Server::alone(Kind::Postgres, &[]).await;
    let said = own.said_at_start().await;
    for setting in ["cursor_key", "link_keys"] {
        assert!(said.contains(setting), "{said}");
    }
    own.finish().await;
    let (shared, _place) = in_folder(Kind::Postgres, &[]).await;
    let said = shared.said_at_start().await;
    assert!(!said.contains("_key"), "{said}");
    shared.finish().await;
}

#[tokio::test]
async fn a_disk_that_is_another_stops_the_start() {
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let (server, _place) = in_folder(kind, &[]).await;
        let (other, elsewhere) = in_folder(kind, &[]).await;
        let empty = Place::folder();
        let started_in = |place: &Place| {
            let mut command = Command::new(binary());
            command.args(["token", "list"]).envs(server.settings());
            let folder = place.settings().into_iter();
            command.envs(folder.filter(|(name, _)| name.ends_with("_PATH")));
            let output = command.output().unwrap();
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            (output.status.code(), said)
        };
        // Of a folder from which nothing can be missing nothing is known.
        assert_eq!(started_in(&empty).0, Some(0));
        let (code, said) = started_in(&elsewhere);
        assert!(
            code == Some(2) && said.contains("is not the one in the database"),
            "{said}"
        );

        server.client().upload_some("a.txt").await;
        let unmounted = Place::folder();
        let (code, said) = started_in(&unmounted);
        assert!(code == Some(2) && said.contains("mounted"), "{said}");
        other.finish().await;
        server.finish().await;
    }
}

#[tokio::test]
async fn bytes_without_a_row_are_kept_until_they_are_old() {
    let mut server = Server::alone(Kind::Sqlite, &[]).await;
    let upload = TusUpload::begin(server.client(), 10, &[]).await;
    assert_eq!(upload.append(0, "12345").await.status, 204);
    server.stop().await;
    // As in a database that is older than the upload.
    let _ = server.database().sql("DELETE FROM tbl_upload");
    server.restart().await;
    sleep(Duration::from_secs(2)).await;
    assert!(
        !server.staged().is_empty(),
        "the right database may come back"
    );
    server.stop().await;
    server.set("FILESERVER_ORPHAN_AGE", "0");
    server.restart().await;
    eventually(|| server.staged().is_empty()).await;
    server.finish().await;
}

#[tokio::test]
async fn a_database_whose_file_is_gone_is_not_ready() {
    let server = Server::alone(Kind::Sqlite, &[]).await;
    let client = server.client();
    client.upload_some("a.txt").await;
    let url = server.database().url();
    let path = url
        .strip_prefix("sqlite:")
        .unwrap()
        .trim_start_matches("//");
    let mode = std::fs::metadata(path).unwrap().permissions().mode();
    assert_eq!(mode & 0o007, 0, "others cannot read names and tokens");
    let elsewhere = format!("{path}.elsewhere");
    std::fs::rename(path, &elsewhere).unwrap();
    sleep(Duration::from_millis(1100)).await;
    client.get("/readyz").await.problem(503, "unavailable");
    std::fs::rename(&elsewhere, path).unwrap();
    sleep(Duration::from_millis(1100)).await;
    assert_eq!(client.get("/readyz").await.status, 200);
    server.finish().await;
}

/// The process that holds the lease.
fn holder(server: &Server, lease: &str) -> Option<u32> {
    let sql = format!("SELECT holder FROM tbl_lease WHERE name = '{lease}'");
    let holder = server.database().sql(&sql);
    holder.trim().split('-').next().unwrap().parse().ok()
}

/// Waits until another process has a lease; returns it, and how long that took.
async fn until_not(server: &Server, lease: &str, before: Option<u32>) -> (u32, Duration) {
    let began = Instant::now();
    loop {
        match holder(server, lease) {
            Some(now) if Some(now) != before => return (now, began.elapsed()),
            _ => sleep(Duration::from_millis(50)).await,
        }
        assert!(began.elapsed() < Duration::from_secs(30), "nobody took it");
    }
}

/// The longest pause of a task when its holder dies.
const SECONDS: Duration = Duration::from_secs(9);

async fn is_held(client: &Client) -> bool {
    let numbers = client.get("/metrics").await.text();
    let line = numbers
        .lines()
        .find(|line| line.starts_with("fileserver_lease_held{lease=\"housekeeping\"}"));
    line.expect("a worker tells of its lease").ends_with(" 1")
}

async fn until_held(client: &Client) {
    let began = Instant::now();
    while !is_held(client).await {
        assert!(began.elapsed() < SECONDS, "it does not hold the lease");
        sleep(Duration::from_millis(50)).await;
    }
}

/// An upload that expires after a second without bytes, and is swept.
async fn until_swept(server: &Server, client: &Client) -> Duration {
    TusUpload::begin(client, 10, &[]).await;
    let began = Instant::now();
    loop {
        let left = server.database().sql("SELECT COUNT(*) FROM tbl_upload");
        if left.trim() == "0" {
            return began.elapsed();
        }
        assert!(began.elapsed() < Duration::from_secs(30), "nobody sweeps");
        sleep(Duration::from_millis(50)).await;
    }
}

const SHORT: (&str, &str) = ("FILESERVER_UPLOAD_AGE", "1");

#[tokio::test]
async fn what_is_done_once_moves_on_when_who_does_it_dies() {
    for kind in [Kind::MariaDb, Kind::Postgres] {
        // The one that is looked at has no part in it.
        let mine = [SHORT, ("FILESERVER_ROLE", "api,upload,download")];
        let (server, _place) = in_folder(kind, &mine).await;
        let worker = [("FILESERVER_ROLE", "worker")];
        let mut first = Replica::of(&server, &worker).await;
        until_held(first.client()).await;
        let mut second = Replica::of(&server, &worker).await;
        until_swept(&server, server.client()).await;
        assert!(is_held(first.client()).await && !is_held(second.client()).await);
        assert_eq!(holder(&server, "housekeeping"), Some(first.id()));

        first.kill().await;
        let swept = until_swept(&server, server.client()).await;
        assert!(swept < SECONDS, "{swept:?}");
        until_held(second.client()).await;

        // A process that stops gives up its lease.
        first.start_again().await;
        let before = second.id();
        signal(before, Signal::TERM);
        let (now, took) = until_not(&server, "housekeeping", Some(before)).await;
        assert!(
            now == first.id() && took < Duration::from_secs(3),
            "{took:?}"
        );
        second.has_stopped().await;
        until_held(first.client()).await;
        until_swept(&server, server.client()).await;
        first.stop().await;
        assert_eq!(holder(&server, "housekeeping"), None);
        server.finish().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_was_frozen_notices_that_others_do_its_work() {
    let place = Place::folder();
    let folder = place.settings();
    let mut settings = vec![SHORT];
    settings.extend(folder.iter().map(|(name, value)| (*name, value.as_str())));
    let (server, proxy) = Server::start_behind_proxy_with(Kind::Postgres, &settings).await;
    until_held(server.client()).await;
    let database = server.database().url();
    let second = Replica::of(&server, &[("FILESERVER_DATABASE_URL", &database)]).await;
    let id = server.id().await;
    freeze(id, true);
    proxy.cut();
    let (now, took) = until_not(&server, "housekeeping", Some(id)).await;
    assert!(now == second.id() && took < SECONDS, "{took:?}");
    until_swept(&server, second.client()).await;
    freeze(id, false);
    // It knows this without asking the database.
    assert!(!is_held(server.client()).await);
    assert!(is_held(second.client()).await);
    proxy.mend();
    // It does not take the lease back.
    for _ in 0..30 {
        assert!(!is_held(server.client()).await);
        sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(holder(&server, "housekeeping"), Some(second.id()));
    assert!(server.log().contains("lease lost"), "{}", server.log());
    assert!(second.log().contains("lease acquired"), "{}", second.log());
    drop(second);
    server.finish().await;
}

#[tokio::test]
async fn jobs_are_announced_by_another_when_who_did_dies() {
    let _turn = BROKER.lock().await;
    let archive = tempfile::tempdir().unwrap();
    let queue = format!("lease-{}", std::process::id());
    let url = variable("TEST_AMQP_URL");
    let settings = [
        ("FILESERVER_STORES_ARCHIVE_KIND", "disk"),
        (
            "FILESERVER_STORES_ARCHIVE_PATH",
            archive.path().to_str().unwrap(),
        ),
        ("FILESERVER_TRANSFER_POLICY", "move"),
        ("FILESERVER_TRANSFER_TO", "archive"),
        ("FILESERVER_TRANSFER_BROKER", &url),
        ("FILESERVER_TRANSFER_QUEUE", &queue),
        ("FILESERVER_ROLE", "api,upload,download"),
    ];
    let (server, _place) = in_folder(Kind::MariaDb, &settings).await;
    let worker = [("FILESERVER_ROLE", "worker")];
    let mut first = Replica::of(&server, &worker).await;
    until_not(&server, "announcing", None).await;
    assert_eq!(holder(&server, "announcing"), Some(first.id()));
    let second = Replica::of(&server, &worker).await;
    let copied = async || {
        server.client().upload_some("a.txt").await;
        let began = Instant::now();
        while server.database().sql("SELECT COUNT(*) FROM tbl_job").trim() != "0" {
            assert!(began.elapsed() < Duration::from_secs(30), "nobody copies");
            sleep(Duration::from_millis(50)).await;
        }
        began.elapsed()
    };
    copied().await;
    first.kill().await;
    let took = copied().await;
    assert!(took < SECONDS, "{took:?}");
    assert_eq!(holder(&server, "announcing"), Some(second.id()));
    let numbers: Value = second.client().get("/healthz").await.json();
    assert_eq!(numbers["status"], "ok");
    drop(second);
    server.finish().await;
}
