//! What whoever runs the service hears of settings by which a store cannot be used.

use std::{
    process::{Command, Output},
    time::{Duration, Instant},
};

use harness::{Ceph, Kind, Oss, Server, StoreSettings, binary};
use serde_json::Value;
use storage::{Bucket, BucketKind, BucketOptions, Error};
use tokio::net::TcpListener;

use crate::{home::options, read_whole};

/// By when it has to be told whatever is wrong: a few tries of a second each, and waits between.
const SOON: Duration = Duration::from_secs(20);

/// The stand-in keeps running as long as it is held.
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

    /// With another value of a setting.
    fn with(mut self, key: &str, value: &str) -> Self {
        let full = format!("FILESERVER_STORES_{}_{key}", self.name);
        self.settings.retain(|(name, _)| *name != full);
        self.settings.push((full, value.to_owned()));
        self
    }

    /// With another secret.
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

    /// Tries the store out, by the real binary.
    fn try_out(&self) -> Output {
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
        assert!(took < SOON, "it took {took:?}");
        output
    }

    /// Makes sure that it is told which store it is about, and what is wrong in which words.
    #[track_caller]
    fn assert_told(&self, output: &Output, words: &[&str]) {
        let report = String::from_utf8_lossy(&output.stdout);
        let trouble = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{report}{trouble}");
        assert_eq!(report.lines().count(), 1, "{report}");
        let line: Value = serde_json::from_str(&report).unwrap();
        assert_eq!(line["store"], *self.primary());
        let told = line["trouble"].as_str().unwrap();
        let about = format!("the store {}: ", self.primary());
        assert!(told.contains(&about), "{told}");
        for word in words {
            assert!(told.contains(word), "`{word}` is not in: {told}");
        }
        let is_secret_told = report.contains(self.secret()) || trouble.contains(self.secret());
        assert!(!is_secret_told, "{report}{trouble}");
    }

    /// Starts the service with this store and a primary one.
    async fn serve(&self, primary: &str) -> Server {
        let settings = self.settings.iter().map(|(name, value)| {
            // A test's settings have names that do not end.
            let name: &'static str = name.clone().leak();
            (name, value.as_str())
        });
        let settings: Vec<_> = settings.chain([("FILESERVER_PRIMARY", primary)]).collect();
        Server::start(Kind::Sqlite, &settings).await
    }

    #[track_caller]
    fn assert_tells(&self, words: &[&str]) {
        self.assert_told(&self.try_out(), words);
    }
}

#[test]
fn a_store_that_can_be_used_is_said_to_be_well() {
    let (_oss, setup) = oss();
    for setup in [setup, ceph()] {
        let output = setup.try_out();
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
fn a_wrong_secret_is_told() {
    let (_oss, setup) = oss();
    for setup in [setup, ceph()] {
        let setup = setup.with_secret("hunter2-hunter2-hunter2");
        setup.assert_tells(&["the secret key is not that of the access key"]);
    }
}

#[test]
fn an_unknown_access_key_is_told() {
    let (_oss, setup) = oss();
    for setup in [setup, ceph()] {
        let setup = setup.with("ACCESS_KEY_ID", "nobody");
        setup.assert_tells(&["does not know the access key"]);
    }
}

#[test]
fn a_bucket_that_is_not_there_is_told() {
    let (_oss, setup) = oss();
    for setup in [setup, ceph()] {
        let setup = setup.with("BUCKET", "no-such-bucket");
        setup.assert_tells(&["there is no bucket no-such-bucket at http://127.0.0.1:"]);
    }
}

#[test]
fn an_endpoint_that_cannot_be_reached_is_told() {
    let (_oss, setup) = oss();
    for setup in [setup, ceph()] {
        // Nobody listens there, and nobody may by himself.
        let setup = setup.with("ENDPOINT", "http://127.0.0.1:1");
        setup.assert_tells(&["http://127.0.0.1:1 cannot be reached"]);
    }
    let setup = ceph().with("ENDPOINT", "http://no-such-host.invalid");
    setup.assert_tells(&["http://no-such-host.invalid cannot be reached"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_never_answers_is_told() {
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
            setup.assert_tells(&[&endpoint, "does not answer in time"]);
        });
    }
    holding.abort();
}

#[test]
fn a_clock_that_is_wrong_is_told() {
    let (_oss, setup) = oss();
    for setup in [setup, ceph()] {
        for off in ["+1h", "-1h"] {
            let mut command = harness::program("faketime");
            // Timeouts are to be as long as ever.
            command.args(["-m", "-f", off]).arg(binary());
            command.env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
            let told = setup.run(command);
            setup.assert_told(&told, &["clock is too far from the store's"]);
        }
    }
}

/// Otherwise a purge or a check would take all contents for lost.
#[tokio::test(flavor = "multi_thread")]
async fn an_object_in_a_bucket_that_is_not_there_is_not_missing() {
    let (_oss, setup) = oss();
    for setup in [setup, ceph()] {
        let options = BucketOptions {
            bucket: "no-such-bucket".to_owned(),
            ..options(setup.kind, &setup.known)
        };
        let bucket = Bucket::new("gone", options).unwrap();
        let key = "objects/00/00000000000000000000000000000000";
        let size = bucket.size(key).await;
        assert_tells_of_bucket(size.map(drop));
        let store = storage::Store::Bucket(bucket);
        assert_tells_of_bucket(read_whole(&store, key, 10).await.map(drop));
        let sample = store.sample(Some(key), 10, Vec::new()).await;
        assert_tells_of_bucket(sample.map(drop));
        let sample = store.sample(None, 10, Vec::new()).await;
        assert_tells_of_bucket(sample.map(drop));
        let listed = match store.list(0).await {
            Ok(mut list) => futures_util::StreamExt::next(&mut list).await.unwrap(),
            Err(error) => Err(error),
        };
        assert_tells_of_bucket(listed.map(drop));
    }
}

#[track_caller]
fn assert_tells_of_bucket(outcome: storage::Result<()>) {
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
async fn the_service_starts_without_its_store_and_says_that_it_is_not_ready() {
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
async fn a_service_without_its_second_store_is_ready_and_tells_of_it() {
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
        let told = ready.json();
        let status = if trouble.is_some() { "degraded" } else { "ok" };
        assert_eq!(told["status"], status, "{told}");
        let text = told["trouble"][0].as_str();
        assert_eq!(text.is_some(), trouble.is_some(), "{told}");
        if let (Some(text), Some(trouble)) = (text, trouble) {
            assert!(
                text.contains(trouble) && !text.contains("hunter2"),
                "{text}"
            );
        }
        server.stop().await;
    }
}
