//! What the tests have in common.

use std::{
    env,
    io::{BufRead as _, BufReader},
    net::TcpListener,
    process::{Child, Command, Stdio},
    time::Duration,
};

use domain::{Owner, Sha1};
use fileserver_cache::{Counts, Found, Gap, HotEntries, Options, Redis};
use redis::Commands as _;

/// How long values live in these tests.
pub(crate) const AGE: Duration = Duration::from_secs(1);

/// The server that the tests share.
pub(crate) fn url() -> String {
    env::var("TEST_REDIS_URL").expect("TEST_REDIS_URL, which tests/servers sets")
}

/// Options with names of their own, so that tests do not see each other's keys.
pub(crate) fn options(url: &str) -> Options {
    Options {
        url: url.to_owned(),
        prefix: format!("test-{:x}", getrandom::u64().unwrap()),
        // The machine may be busy.
        timeout: Duration::from_secs(5),
    }
}

pub(crate) async fn entries() -> HotEntries {
    let redis = Redis::open(&options(&url())).await.unwrap();
    HotEntries::new(redis, AGE, 1)
}

pub(crate) fn alice() -> Owner {
    "alice".parse().unwrap()
}

pub(crate) fn sha1() -> Sha1 {
    Sha1::from([0xab; 20])
}

/// What the cache has of an entry.
pub(crate) async fn hit(entries: &HotEntries) -> Option<String> {
    match entries.find(&alice(), &sha1()).await {
        Found::Hit(entry) => Some(entry),
        Found::Miss(_) => None,
    }
}

/// The place for an entry that is not there.
pub(crate) async fn gap(entries: &HotEntries) -> Gap {
    match entries.find::<String>(&alice(), &sha1()).await {
        Found::Hit(entry) => panic!("{entry} is there"),
        Found::Miss(gap) => gap,
    }
}

pub(crate) fn counts(hits: u64, misses: u64, failures: u64) -> Counts {
    Counts {
        hits,
        misses,
        failures,
        lost_tombstones: 0,
    }
}

/// A server of a test's own, which goes when this is dropped.
pub(crate) struct Server {
    child: Child,
    port: u16,
    password: &'static str,
}

impl Server {
    pub(crate) fn start(password: &'static str) -> Self {
        // One that is free, and is not held any longer than to know that.
        let port = TcpListener::bind("127.0.0.1:0").and_then(|held| held.local_addr());
        let port = port.unwrap().port();
        let child = Self::run(port, password);
        Self {
            child,
            port,
            password,
        }
    }

    fn run(port: u16, password: &str) -> Child {
        let mut child = Command::new("redis-server")
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1"])
            .args(["--save", "", "--requirepass", password])
            .args(["--dir", env::temp_dir().to_str().unwrap()])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        // Only to connect would not do: a connection to a free port may come to meet itself.
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let is_ready = lines.any(|line| line.unwrap().contains("Ready to accept connections"));
        assert!(is_ready, "redis-server does not start");
        child
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://:{}@127.0.0.1:{}", self.password, self.port)
    }

    /// Asks it something directly.
    pub(crate) fn connection(&self) -> redis::Connection {
        let client = redis::Client::open(self.url()).unwrap();
        client.get_connection().unwrap()
    }

    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub(crate) fn restart(&mut self) {
        self.kill();
        self.child = Self::run(self.port, self.password);
    }

    /// Stops it where it is, or lets it go on.
    pub(crate) fn freeze(&self, frozen: bool) {
        let signal = if frozen { "STOP" } else { "CONT" };
        let sent = Command::new("kill")
            .args(["-s", signal, &self.child.id().to_string()])
            .status();
        assert!(sent.unwrap().success());
        std::thread::sleep(Duration::from_millis(50));
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Asks the shared server something directly.
pub(crate) fn connection() -> redis::Connection {
    let client = redis::Client::open(url()).unwrap();
    client.get_connection().unwrap()
}

/// The one key that begins so.
pub(crate) fn only_key(prefix: &str) -> String {
    let keys: Vec<String> = connection().keys(format!("{prefix}:*")).unwrap();
    assert_eq!(keys.len(), 1, "{keys:?}");
    keys[0].clone()
}

/// Waits until something holds.
pub(crate) async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let end = tokio::time::Instant::now() + Duration::from_secs(20);
    while !holds().await {
        assert!(tokio::time::Instant::now() < end, "{what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
