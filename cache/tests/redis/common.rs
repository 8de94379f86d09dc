//! Helpers that the tests share.

use std::{
    env,
    io::{BufRead as _, BufReader},
    net::TcpListener,
    process::{Child, Command, Stdio},
    time::Duration,
};

use domain::{Owner, Sha1};
use fileserver_cache::{CacheSlot, Counts, EntryCache, Lookup, Options, Redis};
use redis::Commands as _;

/// The maximum age of cached entries in these tests.
pub(crate) const MAX_AGE: Duration = Duration::from_secs(1);

/// URL of the server that the tests share.
pub(crate) fn url() -> String {
    env::var("TEST_REDIS_URL").expect("TEST_REDIS_URL, which tests/servers sets")
}

/// Options with a random prefix, so that tests do not see each other's keys.
pub(crate) fn options(url: &str) -> Options {
    Options {
        url: url.to_owned(),
        prefix: format!("test-{:x}", getrandom::u64().unwrap()),
        // Long enough for a busy machine.
        timeout: Duration::from_secs(5),
    }
}

pub(crate) async fn cache() -> EntryCache {
    let redis = Redis::open(&options(&url())).await.unwrap();
    EntryCache::new(redis, MAX_AGE, 1)
}

pub(crate) fn alice() -> Owner {
    "alice".parse().unwrap()
}

pub(crate) fn sha1() -> Sha1 {
    Sha1::from([0xab; 20])
}

/// Returns the cached entry, if there is one.
pub(crate) async fn hit(cache: &EntryCache) -> Option<String> {
    match cache.find(&alice(), &sha1()).await {
        Lookup::Hit(entry) => Some(entry),
        Lookup::Miss(_) => None,
    }
}

/// Looks up an entry that is not cached, and returns its slot.
pub(crate) async fn empty_slot(cache: &EntryCache) -> CacheSlot {
    match cache.find::<String>(&alice(), &sha1()).await {
        Lookup::Hit(entry) => panic!("{entry} is cached"),
        Lookup::Miss(slot) => slot,
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

/// A server for a single test, killed on drop.
pub(crate) struct Server {
    child: Child,
    port: u16,
    password: &'static str,
}

impl Server {
    pub(crate) fn start(password: &'static str) -> Self {
        // Finds a free port, and releases it at once.
        let port = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
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
        // Connecting would prove nothing: a connection to a free local port may connect to itself.
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let is_ready = lines.any(|line| line.unwrap().contains("Ready to accept connections"));
        assert!(is_ready, "redis-server did not start");
        child
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://:{}@127.0.0.1:{}", self.password, self.port)
    }

    /// Connects to the server, past the crate.
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

    /// Stops the process with SIGSTOP, or continues it.
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

/// Connects to the shared server, past the crate.
pub(crate) fn connection() -> redis::Connection {
    let client = redis::Client::open(url()).unwrap();
    client.get_connection().unwrap()
}

/// Returns the only key with this prefix.
pub(crate) fn only_key(prefix: &str) -> String {
    let keys: Vec<String> = connection().keys(format!("{prefix}:*")).unwrap();
    assert_eq!(keys.len(), 1, "{keys:?}");
    keys[0].clone()
}

/// Polls until a condition holds.
pub(crate) async fn until(condition: &str, mut holds: impl AsyncFnMut() -> bool) {
    let end = tokio::time::Instant::now() + Duration::from_secs(20);
    while !holds().await {
        assert!(tokio::time::Instant::now() < end, "{condition}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
