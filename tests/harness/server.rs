//! The real binary, started for a test.

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpStream,
    process::{Child, ChildStderr, Command as TokioCommand},
    sync::Mutex,
    time::timeout,
};

use crate::{Ceph, Client, Kind, Nginx, Proxy, TestDatabase, stack};

/// The service on a port of its own, with a data folder and a database of its own.
///
/// It is one process. On the whole stack it is three processes behind nginx, unless it is started
/// [alone](Self::alone); the first of them is the one at [its address](Self::address).
pub struct Server {
    database: TestDatabase,
    data: PathBuf,
    _folder: TempDir,
    settings: Vec<(&'static str, OsString)>,
    processes: Mutex<Vec<Process>>,
    _nginx: Option<Nginx>,
    log: Log,
    client: Client,
    was_killed: AtomicBool,
}

/// The lines that a process has logged.
pub(crate) type Log = Arc<std::sync::Mutex<String>>;

pub(crate) struct Process {
    pub(crate) child: Child,
    pub(crate) address: String,
    /// Its log from before it listened.
    said: String,
}

impl Server {
    /// Starts the service with some settings.
    pub async fn start(kind: Kind, settings: &[(&'static str, &str)]) -> Self {
        Self::start_as(kind, settings, stack::processes(kind)).await
    }

    /// Starts one process, for tests about a process: its counters, limits and timeouts.
    pub async fn alone(kind: Kind, settings: &[(&'static str, &str)]) -> Self {
        Self::start_as(kind, settings, 1).await
    }

    async fn start_as(kind: Kind, settings: &[(&'static str, &str)], processes: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        let database = TestDatabase::with_schema(kind);
        Self::start_all(database, folder, data, settings, processes).await
    }

    /// Starts the service with a connection to its database that can be cut.
    pub async fn start_behind_proxy(kind: Kind) -> (Self, Proxy) {
        Self::start_behind_proxy_with(kind, &[]).await
    }

    /// The same with some settings.
    pub async fn start_behind_proxy_with(
        kind: Kind,
        settings: &[(&'static str, &str)],
    ) -> (Self, Proxy) {
        let database = TestDatabase::new(kind);
        let proxy = Proxy::before(&database.url()).await;
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        let url = ("FILESERVER_DATABASE_URL", proxy.url());
        // Reads may not bypass the proxy.
        let replicas = ("FILESERVER_DATABASE_REPLICAS", "");
        let settings = [settings, &[url, replicas]].concat();
        let server = Self::start_on(database, folder, data, &settings).await;
        (server, proxy)
    }

    /// Starts one process on a database and in a data folder.
    pub async fn start_on(
        database: TestDatabase,
        folder: TempDir,
        data: PathBuf,
        settings: &[(&'static str, &str)],
    ) -> Self {
        Self::start_all(database, folder, data, settings, 1).await
    }

    async fn start_all(
        database: TestDatabase,
        folder: TempDir,
        data: PathBuf,
        settings: &[(&'static str, &str)],
        processes: usize,
    ) -> Self {
        let url = database.url();
        let mut all: Vec<(&str, OsString)> = vec![
            ("FILESERVER_DATA_DIR", data.clone().into()),
            ("FILESERVER_DATABASE_URL", url.into()),
            ("FILESERVER_LISTEN", "127.0.0.1:0".into()),
            ("FILESERVER_LOG_FORMAT", "json".into()),
            // Claims are tried with contents of every size.
            ("FILESERVER_CLAIM_MIN_SIZE", "0".into()),
        ];
        if Ceph::is_primary() {
            let ceph = Ceph::settings().into_iter();
            all.extend(ceph.map(|(name, value)| (name, value.into())));
            all.push(("FILESERVER_PRIMARY", "ceph".into()));
        }
        if stack::processes(database.kind()) > 1 {
            all.extend(stack::settings(&database));
        }
        for (name, value) in settings {
            all.retain(|(other, _)| other != name);
            all.push((*name, value.into()));
        }
        let log = Log::default();
        let count = processes;
        let mut processes = Vec::new();
        for number in 0..count {
            let settings = settings_of(&all, number, count, None);
            processes.push(Process::start(&settings, &log).await);
        }
        let mut nginx = None;
        let certificate = all
            .iter()
            .find(|(name, _)| *name == "FILESERVER_TLS_CERTIFICATE");
        let certificate = certificate.map(|(_, path)| fs::read(path).unwrap());
        let scheme = if certificate.is_some() {
            "https"
        } else {
            "http"
        };
        let mut base = format!("{scheme}://{}", processes[0].address);
        if count > 1 {
            let before_all = stack::nginx(&processes).await;
            before_all.base().clone_into(&mut base);
            nginx = Some(before_all);
        }
        Self {
            database,
            data,
            _folder: folder,
            settings: all,
            processes: Mutex::new(processes),
            _nginx: nginx,
            log,
            client: Client::trusting(base, certificate.as_deref()).await,
            was_killed: AtomicBool::new(false),
        }
    }

    /// A client of it.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// A client of its first process, whose counters are its own.
    pub async fn first(&self) -> Client {
        self.client
            .by_way_of(&format!("http://{}", self.address().await))
    }

    /// Its database.
    #[must_use]
    pub fn database(&self) -> &TestDatabase {
        &self.database
    }

    /// Its data folder.
    #[must_use]
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// Its process id.
    pub async fn id(&self) -> u32 {
        self.processes.lock().await[0].child.id().unwrap()
    }

    /// Kills it with SIGKILL.
    pub async fn kill(&self) {
        self.was_killed.store(true, Ordering::Relaxed);
        for process in self.processes.lock().await.iter_mut() {
            process.child.kill().await.unwrap();
        }
    }

    /// Restarts it with the same settings on the same port.
    pub async fn restart(&self) {
        let mut processes = self.processes.lock().await;
        let count = processes.len();
        for (number, process) in processes.iter_mut().enumerate() {
            let settings = settings_of(&self.settings, number, count, Some(&process.address));
            *process = Process::start(&settings, &self.log).await;
        }
    }

    /// Changes a setting, for the next start.
    pub fn set(&mut self, name: &'static str, value: &str) {
        self.settings.retain(|(other, _)| *other != name);
        self.settings.push((name, value.into()));
    }

    /// Its settings, as the environment has them.
    #[must_use]
    pub fn settings(&self) -> Vec<(&'static str, OsString)> {
        self.settings.clone()
    }

    /// Starts another process with its settings, on a port of its own; it goes when its handle is
    /// dropped.
    pub async fn second_process(&self) -> (Child, Client) {
        let process = Process::start(&self.settings, &Log::default()).await;
        let client = Client::new(format!("http://{}", process.address)).await;
        (process.child, client)
    }

    /// Sends it SIGTERM, and waits until it has stopped.
    pub async fn stop(&self) {
        self.tell_to_stop().await;
        self.stop_has_ended().await;
    }

    async fn tell_to_stop(&self) {
        for process in self.processes.lock().await.iter() {
            signal(process.child.id().unwrap(), Signal::TERM);
        }
    }

    /// Waits until it has stopped.
    pub async fn stop_has_ended(&self) {
        self.stops_within(Duration::from_secs(40)).await;
    }

    /// Sends it SIGTERM twice, so that it does not wait for its requests.
    pub async fn stop_at_once(&self) {
        for _ in 0..2 {
            self.tell_to_stop().await;
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
        self.stops_within(Duration::from_secs(15)).await;
    }

    async fn stops_within(&self, limit: Duration) {
        for process in self.processes.lock().await.iter_mut() {
            let stopped = timeout(limit, process.child.wait()).await;
            let Ok(status) = stopped else {
                panic!("the server does not stop: {}", self.log());
            };
            let status = status.unwrap();
            assert!(status.success(), "the server stopped with {status}");
        }
    }

    /// Stops it, and asserts that nothing was lost or left over.
    pub async fn finish(self) {
        self.stop().await;
        self.check_is_clean();
        assert_eq!(
            self.staged(),
            [] as [PathBuf; 0],
            "bytes are left in staging"
        );
    }

    /// Asserts that every row has its bytes, and all bytes have their row.
    pub fn check_is_clean(&self) {
        if self.is_on_ceph() && self.was_killed.load(Ordering::Relaxed) {
            // Objects whose uploads were interrupted are found once they are old enough.
            let removed = self.command(&["check", "--remove-orphans", "--orphan-age", "0"]);
            assert!(removed.status.success());
        }
        // No upload is running, so an orphan may have any age.
        let output = self.command(&["check", "--digests", "--json", "--orphan-age", "0"]);
        let report = String::from_utf8_lossy(&output.stdout);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{report}{said}");
        let sums = report.lines().last().unwrap();
        let sums: Value = serde_json::from_str(sums).unwrap();
        assert_eq!(sums["findings"], 0);
    }

    /// Creates a token, and returns its text.
    #[must_use]
    pub fn token(&self, owner: &str, scopes: &str) -> String {
        let created = self.command(&["token", "create", "--owner", owner, "--scope", scopes]);
        let said = String::from_utf8_lossy(&created.stderr);
        assert!(created.status.success(), "{said}");
        String::from_utf8(created.stdout).unwrap().trim().to_owned()
    }

    /// A client of an owner, with a token that may read and write files.
    #[must_use]
    pub fn client_of(&self, owner: &str) -> Client {
        let token = self.token(owner, "files:read,files:write");
        self.client.with_token(&token)
    }

    /// Its log, from all its processes since they listened.
    #[must_use]
    pub fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// Its log from before it listened.
    pub async fn said_at_start(&self) -> String {
        self.processes.lock().await[0].said.clone()
    }

    /// The address that it listens on.
    pub async fn address(&self) -> String {
        self.processes.lock().await[0].address.clone()
    }

    /// Runs a subcommand with its settings.
    #[must_use]
    pub fn command(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(binary());
        command.args(arguments).envs(self.settings.clone());
        command.output().unwrap()
    }

    /// The files of running and interrupted uploads.
    #[must_use]
    pub fn staged(&self) -> Vec<PathBuf> {
        if self.is_on_ceph() {
            let known = self.database.sql("SELECT id FROM tbl_staging");
            let mut staged = self.keys("uploads/");
            staged.extend(known.lines().map(PathBuf::from));
            return staged;
        }
        // A service without a local disk has none.
        let Ok(uploads) = fs::read_dir(self.data.join("uploads")) else {
            return Vec::new();
        };
        let mut files: Vec<PathBuf> = uploads.map(|file| file.unwrap().path()).collect();
        for folder in fs::read_dir(self.data.join("staging")).unwrap() {
            for file in fs::read_dir(folder.unwrap().path()).unwrap() {
                let file = file.unwrap().path();
                if file.file_name().is_some_and(|name| name != "lock") {
                    files.push(file);
                }
            }
        }
        files
    }

    /// Waits until the first bytes of an upload in one request have arrived.
    pub async fn until_one_is_coming(&self) {
        if self.is_on_ceph() {
            // It is not visible before it is complete.
            return tokio::time::sleep(Duration::from_secs(1)).await;
        }
        eventually(|| self.staged().len() == 1).await;
    }

    /// Removes an object's bytes, or replaces them.
    pub fn damage(&self, object: &Path, bytes: Option<&str>) {
        if self.is_on_ceph() {
            return Ceph::damage(object, bytes);
        }
        match bytes {
            None => fs::remove_file(object).unwrap(),
            Some(bytes) => fs::write(object, bytes).unwrap(),
        }
    }

    /// The objects in the store.
    #[must_use]
    pub fn objects(&self) -> Vec<PathBuf> {
        if self.is_on_ceph() {
            return self.keys("objects/");
        }
        let mut objects = Vec::new();
        for folder in fs::read_dir(self.data.join("objects")).unwrap() {
            let files = fs::read_dir(folder.unwrap().path()).unwrap();
            objects.extend(files.map(|file| file.unwrap().path()));
        }
        objects
    }

    /// Returns whether uploads go to Ceph.
    fn is_on_ceph(&self) -> bool {
        let mut settings = self.settings.iter();
        settings.any(|(name, value)| *name == "FILESERVER_PRIMARY" && value == "ceph")
    }

    /// The keys with a prefix, in its own part of the bucket.
    fn keys(&self, begin: &str) -> Vec<PathBuf> {
        let is_prefix = |name: &str| name == "FILESERVER_STORES_CEPH_PREFIX";
        let mut settings = self.settings.iter();
        let (_, prefix) = settings.find(|(name, _)| is_prefix(name)).unwrap();
        let prefix = prefix.to_str().unwrap().trim_start_matches('/');
        Ceph::keys(&format!("{prefix}{begin}"))
    }

    /// Sends raw bytes, closes the sending side, and returns the answer.
    pub async fn raw(&self, request: &[u8]) -> String {
        let mut stream = self.connect().await;
        // The server may answer and close before it has read everything.
        let _ = stream.write_all(request).await;
        let _ = stream.shutdown().await;
        let mut answer = Vec::new();
        let read = timeout(Duration::from_secs(20), stream.read_to_end(&mut answer)).await;
        let _ = read.expect("the server answers");
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// Opens a connection to it.
    pub async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address().await).await.unwrap()
    }
}

/// The settings of one of several processes, at its former address if it had one.
fn settings_of(
    settings: &[(&'static str, OsString)],
    number: usize,
    count: usize,
    address: Option<&str>,
) -> Vec<(&'static str, OsString)> {
    let mut settings = settings.to_vec();
    for (name, value) in &mut settings {
        match *name {
            "FILESERVER_DATA_DIR" if number > 0 => value.push(format!("-{number}")),
            "FILESERVER_LISTEN" => *value = address.map_or(value.clone(), OsString::from),
            _ => {}
        }
    }
    if count > 1 {
        for (name, value) in stack::settings_behind_nginx() {
            if !settings.iter().any(|(other, _)| *other == name) {
                settings.push((name, value));
            }
        }
    }
    settings
}

impl Process {
    pub(crate) async fn start(settings: &[(&'static str, OsString)], log: &Log) -> Self {
        let mut child = TokioCommand::new(binary())
            .arg("serve")
            .envs(settings.to_vec())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut said = String::new();
        let address = timeout(Duration::from_mins(1), async {
            while let Some(line) = lines.next_line().await.unwrap() {
                let event: Value = serde_json::from_str(&line).unwrap_or_default();
                if event["message"] == "listening" {
                    return event["address"].as_str().unwrap().to_owned();
                }
                said.push_str(&line);
            }
            panic!("the server did not start: {said}");
        });
        let address = address.await.expect("the server starts");
        tokio::spawn(keep(lines, Arc::clone(log)));
        Self {
            child,
            address,
            said,
        }
    }
}

/// Keeps the server's log, and prints its errors, which are shown if the test fails.
async fn keep(mut lines: tokio::io::Lines<BufReader<ChildStderr>>, log: Log) {
    while let Ok(Some(line)) = lines.next_line().await {
        {
            let mut log = log.lock().unwrap();
            log.push_str(&line);
            log.push('\n');
        }
        if line.contains("\"ERROR\"") || line.contains("panicked") {
            eprintln!("{line}");
        }
    }
}

/// Waits until a condition is true.
pub async fn eventually(is_so: impl Fn() -> bool) {
    for _ in 0..200 {
        if is_so() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("what was waited for did not come");
}

/// The current time, in seconds since 1970.
#[expect(clippy::disallowed_methods, reason = "tokens are for real moments")]
pub(crate) fn now() -> u64 {
    let since_1970 = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since_1970.unwrap().as_secs()
}

/// Sends a signal to a process.
pub fn signal(process: u32, signal: Signal) {
    let process = Pid::from_raw(process.try_into().unwrap());
    kill_process(process.unwrap(), signal).unwrap();
}

/// The service's binary.
pub fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| built("fileserver"))
}

/// A binary of the workspace, in the folder `TEST_BINARIES`, or built from the current sources.
pub(crate) fn built(name: &str) -> PathBuf {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| {
        if let Some(folder) = std::env::var_os("TEST_BINARIES") {
            return folder.into();
        }
        let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let mut build = Command::new(env!("CARGO"));
        // As when testing: with other features or surroundings everything would be built anew.
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            if text.starts_with("CARGO_MANIFEST_") || text.starts_with("CARGO_PKG_") {
                build.env_remove(name);
            }
        }
        build.args(["build", "--quiet", "--workspace", "--bins"]);
        if !cfg!(debug_assertions) {
            build.arg("--release");
        }
        let status = build.current_dir(workspace).status();
        assert!(status.unwrap().success(), "the binary can be built");
        // Tests lie in `deps`, beside the binaries.
        let this = std::env::current_exe().unwrap();
        let mut folder = this.parent().unwrap();
        if folder.ends_with("deps") {
            folder = folder.parent().unwrap();
        }
        folder.to_owned()
    });
    folder.join(name)
}
