//! Error messages for settings with which a store cannot be used.

use std::{
    process::{Command, Output},
    time::{Duration, Instant},
};

use harness::{Ceph, Kind, Oss, Server, StoreSettings, binary};
use serde_json::Value;
use storage::{Bucket, BucketKind, BucketOptions, Error, Memory};
use tokio::net::TcpListener;

use crate::{fixture::options, read_whole};

/// Time in which an error must be reported: a few attempts of a second each, and delays between.
const MAX_FAILURE_TIME: Duration = Duration::from_secs(20);

/// Starts a stand-in, which runs until it is dropped.
fn oss() -> (Oss, Setup) {
    let oss = Oss::start();
    let settings = oss.settings();
    (oss, Setup::new("OSS", settings))
}

fn ceph() -> Setup {
    Setup::new("CEPH", Ceph::settings())
}

/// The settings of a store.
struct Setup {
    name: &'static str,
    settings: Vec<(String, String)>,
    kind: BucketKind,
    known: StoreSettings,
}

impl Setup {
    fn new(name: &'static str, known: StoreSettings) -> Self {
        let own = known.iter();
        let own = own.map(|(name, value)| ((*name).to_owned(), value.clone()));
        let setup = Self {
            name,
            settings: own.collect(),
            kind: match name {
                "OSS" => BucketKind::Oss,
                _ => BucketKind::S3,
            },
            known,
        };
        setup.with("TIMEOUT", "1")
    }

    /// Replaces the value of a setting.
    fn with(mut self, key: &str, value: &str) -> Self {
        let full = format!("FILESERVER_STORES_{}_{key}", self.name);
        self.settings.retain(|(name, _)| *name != full);
        self.settings.push((full, value.to_owned()));
        self
    }

    /// Replaces the secret.
    fn with_secret(self, secret: &str) -> Self {
        let key = match self.kind {
            BucketKind::Oss => "ACCESS_KEY_SECRET",
            BucketKind::S3 => "SECRET_ACCESS_KEY",
        };
        self.with(key, secret)
    }

    fn secret(&self) -> &str {
        let is_secret = |name: &str| name.ends_with("_SECRET") || name.contains("_SECRET_");
        let mut settings = self.settings.iter();
        let (_, secret) = settings.find(|(name, _)| is_secret(name)).unwrap();
        secret
    }

    fn primary(&self) -> String {
        self.name.to_ascii_lowercase()
    }

    /// Tests the store with the real binary.
    fn check(&self) -> Output {
        self.run(Command::new(binary()))
    }

    fn run(&self, mut command: Command) -> Output {
        let folder = tempfile::tempdir().unwrap();
        let began = Instant::now();
        let output = command
            .args(["check", "--stores", "--json"])
            .env("FILESERVER_DATA_DIR", folder.path())
            .env("FILESERVER_PRIMARY", self.primary())
            .envs(self.settings.iter().cloned())
            .output()
            .unwrap();
        let took = began.elapsed();
        assert!(took < MAX_FAILURE_TIME, "it took {took:?}");
        output
    }

    /// Checks that the message names the store, contains these words, and no secret.
    #[track_caller]
    fn assert_message(&self, output: &Output, words: &[&str]) {
        let report = String::from_utf8_lossy(&output.stdout);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{report}{errors}");
        assert_eq!(report.lines().count(), 1, "{report}");
        let line: Value = serde_json::from_str(&report).unwrap();
        assert_eq!(line["store"], *self.primary());
        let message = line["trouble"].as_str().unwrap();
        let prefix = format!("the store {}: ", self.primary());
        assert!(message.contains(&prefix), "{message}");
        for word in words {
            assert!(message.contains(word), "`{word}` is not in: {message}");
        }
        let is_secret_shown = report.contains(self.secret()) || errors.contains(self.secret());
        assert!(!is_secret_shown, "{report}{errors}");
    }

    /// Starts the service with this store, and with this primary store.
    async fn serve(&self, primary: &str) -> Server {
        let settings = self.settings.iter().map(|(name, value)| {
            // The names of a server's settings are static.
            let name: &'static str = name.clone().leak();
            (name, value.as_str())
        });
        let settings: Vec<_> = settings.chain([("FILESERVER_PRIMARY", primary)]).collect();
        Server::start(Kind::Sqlite, &settings).await
    }

    #[track_caller]
    fn assert_reports(&self, words: &[&str]) {
        self.assert_message(&self.check(), words);
    }
}

#[test]
fn a_usable_store_passes_the_check() {
    let (_oss, setup) = oss();
    for setup in [setup, ceph()] {
        let output = setup.check();
        let report = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{report}");
        let line: Value = serde_json::from_str(&report).unwrap();
        assert_eq!(
            (&line["store"], &line["trouble"]),
            (&setup.primary().into(), &Value::Null)
        );
    }
}

#[test]
fn a_wrong_secret_is_reported() {
    let (_oss, setup) = oss();
    for setup in [setup, ceph()] {
        let setup = setup.with_secret("hunter2-hunter2-hunter2");
        setup.assert_reports(&["the secret key is not that of the access key"]);
    }
}

#[test]
fn an_unknown_access_key_is_reported() {
    let (_oss, setup) = oss();
    for setup in [setup, ceph()] {
        let setup = setup.with("ACCESS_KEY_ID", "nobody");
        setup.assert_reports(&["does not know the access key"]);
    }
}

#[test]
fn a_missing_bucket_is_reported() {
    let (_oss, setup) = oss();
    for setup in [setup, ceph()] {
        let setup = setup.with("BUCKET", "no-such-bucket");
        setup.assert_reports(&["there is no bucket no-such-bucket at http://127.0.0.1:"]);
    }
}

#[test]
fn an_unreachable_endpoint_is_reported() {
    let (_oss, setup) = oss();
    for setup in [setup, ceph()] {
        // No process listens there, and only root could.
        let setup = setup.with("ENDPOINT", "http://127.0.0.1:1");
        setup.assert_reports(&["http://127.0.0.1:1 cannot be reached"]);
    }
    let setup = ceph().with("ENDPOINT", "http://no-such-host.invalid");
    setup.assert_reports(&["http://no-such-host.invalid cannot be reached"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_endpoint_is_reported() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let holding = tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok(connection) = listener.accept().await {
            held.push(connection);
        }
    });
    let (_oss, setup) = oss();
    for setup in [setup, ceph()] {
        let setup = setup.with("ENDPOINT", &endpoint);
        tokio::task::block_in_place(|| {
            setup.assert_reports(&[&endpoint, "does not answer in time"]);
        });
    }
    holding.abort();
}

#[test]
fn a_wrong_clock_is_reported() {
    let (_oss, setup) = oss();
    for setup in [setup, ceph()] {
        for off in ["+1h", "-1h"] {
            let mut command = Command::new("faketime");
            // The monotonic clock stays real, so that timeouts do.
            command.args(["-m", "-f", off]).arg(binary());
            command.env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
            let output = setup.run(command);
            setup.assert_message(&output, &["clock is too far from the store's"]);
        }
    }
}

/// Otherwise a purge or a check would consider all contents lost.
#[tokio::test(flavor = "multi_thread")]
async fn an_object_in_a_missing_bucket_is_not_reported_as_missing() {
    let (_oss, setup) = oss();
    for setup in [setup, ceph()] {
        let options = BucketOptions {
            bucket: "no-such-bucket".to_owned(),
            ..options(setup.kind, &setup.known)
        };
        let bucket = Bucket::new("gone", options, Memory::default()).unwrap();
        let key = "objects/00/00000000000000000000000000000000";
        let size = bucket.size(key).await;
        assert_reports_bucket(size.map(drop));
        let store = storage::Store::Bucket(bucket);
        assert_reports_bucket(read_whole(&store, key, 10).await.map(drop));
        let read = store.read_ranges(Some(key), 10, Vec::new()).await;
        assert_reports_bucket(read.map(drop));
        let read = store.read_ranges(None, 10, Vec::new()).await;
        assert_reports_bucket(read.map(drop));
        let listed = match store.list(0).await {
            Ok(mut list) => futures_util::StreamExt::next(&mut list).await.unwrap(),
            Err(error) => Err(error),
        };
        assert_reports_bucket(listed.map(drop));
    }
}

#[track_caller]
fn assert_reports_bucket(outcome: storage::Result<()>) {
    match outcome {
        Err(Error::Unavailable(error)) => {
            assert!(
                error.to_string().contains("no bucket no-such-bucket"),
                "{error}"
            );
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_service_starts_without_its_store_and_is_not_ready() {
    let (_oss, setup) = oss();
    for setup in [setup, ceph()] {
        let setup = setup.with_secret("hunter2-hunter2-hunter2");
        let server = setup.serve(&setup.primary()).await;
        let client = server.client();
        assert_eq!(client.get("/healthz").await.status, 200);
        let ready = client.get("/readyz").await;
        ready.problem(503, "unavailable");
        client
            .upload_raw("a.bin", "bytes")
            .await
            .problem(503, "unavailable");
        server.stop().await;
        let log = server.log();
        assert!(
            log.contains("the secret key is not that of the access key"),
            "{log}"
        );
        assert!(!log.contains("hunter2"), "{log}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_without_its_second_store_is_ready_and_reports_it() {
    let ((_one, right), (_other, wrong)) = (oss(), oss());
    let secret = "hunter2-hunter2-hunter2";
    for (setup, trouble) in [
        (right, None),
        (ceph(), None),
        (
            wrong.with_secret(secret),
            Some("the secret key is not that"),
        ),
        (
            ceph().with_secret(secret),
            Some("the secret key is not that"),
        ),
    ] {
        let server = setup.serve("disk").await;
        let ready = server.client().get("/readyz").await;
        assert_eq!(ready.status, 200, "{}", ready.text());
        let report = ready.json();
        let status = if trouble.is_some() { "degraded" } else { "ok" };
        assert_eq!(report["status"], status, "{report}");
        let text = report["trouble"][0].as_str();
        assert_eq!(text.is_some(), trouble.is_some(), "{report}");
        if let (Some(text), Some(trouble)) = (text, trouble) {
            assert!(
                text.contains(trouble) && !text.contains("hunter2"),
                "{text}"
            );
        }
        server.stop().await;
    }
}
