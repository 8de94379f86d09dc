//! Remote stores: a real Ceph gateway, and the stand-in for OSS.

use std::{
    fs::{self, DirEntry},
    io::{self, BufRead as _, BufReader},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::TempDir;

use crate::{Signal, http, program, random, server::built, signal, stack, variable};

/// Settings of a store, as the environment has them.
pub type StoreSettings = Vec<(&'static str, String)>;

/// Borrows settings, as functions that start a server take them.
#[must_use]
pub fn lent<'s>(
    settings: impl IntoIterator<Item = &'s (&'static str, String)>,
) -> Vec<(&'static str, &'s str)> {
    let settings = settings.into_iter();
    settings
        .map(|(name, value)| (*name, value.as_str()))
        .collect()
}

/// The digest that signs a request without a body.
const SHA256_OF_NOTHING: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// The real Ceph gateway that `tests/servers` starts.
pub struct Ceph;

impl Ceph {
    /// The settings of a store called `ceph`, which is a folder of its own in the bucket.
    #[must_use]
    pub fn settings() -> StoreSettings {
        let id = u64::from_ne_bytes(random(8).try_into().unwrap());
        vec![
            ("FILESERVER_STORES_CEPH_KIND", "s3".to_owned()),
            ("FILESERVER_STORES_CEPH_ENDPOINT", Self::endpoint()),
            ("FILESERVER_STORES_CEPH_BUCKET", variable("TEST_S3_BUCKET")),
            ("FILESERVER_STORES_CEPH_REGION", variable("TEST_S3_REGION")),
            (
                "FILESERVER_STORES_CEPH_ACCESS_KEY_ID",
                variable("TEST_S3_ACCESS_KEY"),
            ),
            (
                "FILESERVER_STORES_CEPH_SECRET_ACCESS_KEY",
                variable("TEST_S3_SECRET_KEY"),
            ),
            ("FILESERVER_STORES_CEPH_PREFIX", format!("/{id:016x}/")),
        ]
    }

    /// The keys of its bucket with a prefix.
    #[must_use]
    pub fn keys(prefix: &str) -> Vec<PathBuf> {
        let prefix = prefix.replace('/', "%2F");
        let (mut keys, mut after) = (Vec::new(), String::new());
        loop {
            let query = format!("?marker={after}&prefix={prefix}");
            let listed = Self::request(&query, SHA256_OF_NOTHING).output().unwrap();
            let listing = String::from_utf8(listed.stdout).unwrap();
            assert!(listing.contains("<ListBucketResult"), "{listing}");
            let found = listing.split("<Key>").skip(1);
            let found = found.map(|rest| rest.split("</Key>").next().unwrap());
            keys.extend(found.map(PathBuf::from));
            if !listing.contains("<IsTruncated>true") {
                return keys;
            }
            after = keys.last().unwrap().to_str().unwrap().replace('/', "%2F");
        }
    }

    /// Removes an object's bytes, or replaces them.
    pub(crate) fn damage(key: &Path, bytes: Option<&str>) {
        let sha256 = bytes.map(|bytes| crate::digests(bytes.as_bytes()).sha256.to_string());
        let sha256 = sha256.as_deref().unwrap_or(SHA256_OF_NOTHING);
        let mut request = Self::request(&format!("/{}", key.display()), sha256);
        match bytes {
            None => request.args(["--request", "DELETE"]),
            Some(bytes) => request.args(["--request", "PUT", "--data-binary", bytes]),
        };
        assert!(request.status().unwrap().success());
    }

    /// A signed request for a path below the bucket, with a body of this digest.
    fn request(rest: &str, sha256: &str) -> Command {
        let (key, secret) = (
            variable("TEST_S3_ACCESS_KEY"),
            variable("TEST_S3_SECRET_KEY"),
        );
        let (region, bucket) = (variable("TEST_S3_REGION"), variable("TEST_S3_BUCKET"));
        let mut request = program("curl");
        request
            .args(["--silent", "--fail", "--user", &format!("{key}:{secret}")])
            .args(["--aws-sigv4", &format!("aws:amz:{region}:s3")])
            .args(["--header", &format!("x-amz-content-sha256: {sha256}")])
            .arg(format!("{}/{bucket}{rest}", Self::endpoint()));
        request
    }

    /// Its URL.
    #[must_use]
    pub fn endpoint() -> String {
        variable("TEST_S3_ENDPOINT")
    }

    /// The settings of a second one, called `far`.
    pub(crate) fn far() -> StoreSettings {
        let mut settings = Self::settings();
        for (name, _) in &mut settings {
            *name = match *name {
                "FILESERVER_STORES_CEPH_KIND" => "FILESERVER_STORES_FAR_KIND",
                "FILESERVER_STORES_CEPH_ENDPOINT" => "FILESERVER_STORES_FAR_ENDPOINT",
                "FILESERVER_STORES_CEPH_BUCKET" => "FILESERVER_STORES_FAR_BUCKET",
                "FILESERVER_STORES_CEPH_REGION" => "FILESERVER_STORES_FAR_REGION",
                "FILESERVER_STORES_CEPH_ACCESS_KEY_ID" => "FILESERVER_STORES_FAR_ACCESS_KEY_ID",
                "FILESERVER_STORES_CEPH_SECRET_ACCESS_KEY" => {
                    "FILESERVER_STORES_FAR_SECRET_ACCESS_KEY"
                }
                "FILESERVER_STORES_CEPH_PREFIX" => "FILESERVER_STORES_FAR_PREFIX",
                other => other,
            };
        }
        settings
    }

    /// Returns whether all tests use it instead of a local disk.
    #[must_use]
    pub fn is_primary() -> bool {
        stack::is_full()
    }
}

/// A second gateway of the same Ceph, for tests that freeze or kill it.
pub struct Gateway {
    child: Child,
    address: String,
    /// Its log.
    folder: TempDir,
}

impl Gateway {
    /// Starts it, and waits until it answers.
    #[must_use]
    pub fn start() -> Self {
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = free.local_addr().unwrap().to_string();
        drop(free);
        let folder = tempfile::tempdir().unwrap();
        let child = Self::run(&address, folder.path());
        Self {
            child,
            address,
            folder,
        }
    }

    fn run(address: &str, folder: &Path) -> Child {
        let child = program("radosgw")
            .arg("--conf")
            .arg(Path::new(&variable("TEST_SERVERS")).join("ceph/ceph.conf"))
            .args(["-n", "client.rgw", "-f"])
            .arg(format!(
                "--rgw-frontends=beast endpoint={address} tcp_nodelay=1"
            ))
            .arg("--log-file")
            .arg(folder.join("log"))
            .arg("--admin-socket")
            .arg(folder.join("socket"))
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let begun = Instant::now();
        while TcpStream::connect(address).is_err() {
            assert!(
                begun.elapsed() < Duration::from_mins(1),
                "it does not start"
            );
            std::thread::sleep(Duration::from_millis(50));
        }
        child
    }

    /// Kills it, and restarts it at the same address.
    pub fn restart(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.child = Self::run(&self.address, self.folder.path());
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The settings of a store called `ceph`, which is reached by way of this gateway.
    #[must_use]
    pub fn settings(&self) -> StoreSettings {
        let mut settings = Ceph::settings();
        for (name, value) in &mut settings {
            if name.ends_with("_ENDPOINT") {
                *value = format!("http://{}", self.address);
            }
        }
        settings
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The stand-in for Aliyun OSS, with a bucket of its own.
pub struct Oss {
    child: Child,
    endpoint: String,
    control: String,
    folder: TempDir,
}

const OSS_KEY: &str = "LTAItests";
const OSS_SECRET: &str = "secret-of-the-tests";

impl Oss {
    /// Starts it.
    #[must_use]
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// Starts it behind a link with a bandwidth, in bytes per second and direction.
    #[must_use]
    pub fn start_behind(bytes_per_second: u32) -> Self {
        Self::start_with(&["--bytes-per-second", &bytes_per_second.to_string()])
    }

    fn start_with(options: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let anywhere = ("127.0.0.1:0", "127.0.0.1:0");
        let (child, endpoint, control) = run(folder.path(), anywhere, options);
        Self {
            child,
            endpoint,
            control,
            folder,
        }
    }

    /// Kills it, and restarts it with its objects at the same address.
    pub fn restart(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        let address = |url: &str| url.trim_start_matches("http://").to_owned();
        let (listen, control) = (address(&self.endpoint), address(&self.control));
        (self.child, self.endpoint, self.control) =
            run(self.folder.path(), (&listen, &control), &[]);
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Its URL.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// The settings of a store called `oss`.
    #[must_use]
    pub fn settings(&self) -> StoreSettings {
        vec![
            ("FILESERVER_STORES_OSS_KIND", "oss".to_owned()),
            ("FILESERVER_STORES_OSS_ENDPOINT", self.endpoint.clone()),
            ("FILESERVER_STORES_OSS_BUCKET", "bucket".to_owned()),
            ("FILESERVER_STORES_OSS_VIRTUAL_HOST", "false".to_owned()),
            ("FILESERVER_STORES_OSS_ACCESS_KEY_ID", OSS_KEY.to_owned()),
            (
                "FILESERVER_STORES_OSS_ACCESS_KEY_SECRET",
                OSS_SECRET.to_owned(),
            ),
        ]
    }

    /// The number of files in its folder: one for each object, and for each part of one.
    #[must_use]
    pub fn files(&self) -> usize {
        let shards = fs::read_dir(self.folder.path().join("blobs")).unwrap();
        let files = |shard: io::Result<DirEntry>| fs::read_dir(shard.unwrap().path()).unwrap();
        shards.map(|shard| files(shard).count()).sum()
    }

    /// Injects a fault.
    pub async fn fault(&self, fault: &Value) {
        let url = format!("{}/fault", self.control);
        let set = http()
            .build()
            .unwrap()
            .put(url)
            .json(fault)
            .send()
            .await
            .unwrap();
        assert!(set.status().is_success(), "{}", set.status());
    }

    /// Removes all faults.
    pub async fn mend(&self) {
        let url = format!("{}/fault", self.control);
        let cleared = http().build().unwrap().delete(url).send().await.unwrap();
        assert!(cleared.status().is_success());
    }

    /// The requests and the faults that it counted.
    pub async fn counts(&self) -> Value {
        let url = format!("{}/counts", self.control);
        let counts = http().build().unwrap().get(url).send().await.unwrap();
        counts.json().await.unwrap()
    }
}

impl Drop for Oss {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn run(
    folder: &Path,
    (listen, control): (&str, &str),
    options: &[&str],
) -> (Child, String, String) {
    let stand_in = built("oss-stand-in");
    let mut child = Command::new(stand_in)
        .args([
            "--listen",
            listen,
            "--control",
            control,
            "--bucket",
            "bucket",
        ])
        .args(options)
        .arg("--folder")
        .arg(folder)
        .env("OSS_ACCESS_KEY_ID", OSS_KEY)
        .env("OSS_ACCESS_KEY_SECRET", OSS_SECRET)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut address = || {
        let line = lines.next().expect("the stand-in starts").unwrap();
        line.rsplit(' ').next().unwrap().to_owned()
    };
    let (endpoint, control) = (address(), address());
    (child, endpoint, control)
}

/// Freezes a process, or lets it go on.
pub fn freeze(process: u32, frozen: bool) {
    signal(process, if frozen { Signal::STOP } else { Signal::CONT });
    std::thread::sleep(Duration::from_millis(50));
}

/// The process id in a file of a server.
#[must_use]
pub fn process_in(file: &str) -> u32 {
    let text = fs::read_to_string(file).unwrap();
    text.trim().parse().unwrap()
}
