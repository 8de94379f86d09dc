//! The service, started for a measurement.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use futures_util::{StreamExt as _, stream};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
};

/// The release build of the service, in a data folder of its own.
pub(crate) struct Server {
    pub(crate) client: reqwest::Client,
    pub(crate) base: String,
    child: Child,
    folder: TempDir,
}

impl Server {
    pub(crate) async fn start() -> Self {
        let folder = tempfile::tempdir_in(".").unwrap();
        Self::start_in(folder).await
    }

    pub(crate) async fn start_in(folder: TempDir) -> Self {
        Self::start_with_in(&[], folder).await
    }

    /// Starts it with some settings.
    pub(crate) async fn start_with(settings: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir_in(".").unwrap();
        Self::start_with_in(settings, folder).await
    }

    async fn start_with_in(settings: &[(&str, &str)], folder: TempDir) -> Self {
        let mut child = Command::new(binary())
            .envs(settings.iter().copied())
            .args([
                "serve",
                "--listen",
                "127.0.0.1:0",
                "--log-format",
                "json",
                "--data-dir",
            ])
            .arg(folder.path())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("build it before: cargo build --release --workspace");
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let base = loop {
            let line = lines
                .next_line()
                .await
                .unwrap()
                .expect("the service starts");
            let event: serde_json::Value = serde_json::from_str(&line).unwrap_or_default();
            if event["message"] == "listening" {
                break format!("http://{}", event["address"].as_str().unwrap());
            }
        };
        // The service's own client has TLS compiled in, and each program chooses its provider.
        let _ = rustls::crypto::ring::default_provider().install_default();
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Self {
            client: reqwest::Client::builder().no_proxy().build().unwrap(),
            base,
            child,
            folder,
        }
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Makes a token.
    pub(crate) fn token(&self, owner: &str) -> String {
        let created = std::process::Command::new(binary())
            .args(["token", "create", "--owner", owner])
            .args(["--scope", "files:read,files:write", "--data-dir"])
            .arg(self.folder.path())
            .output()
            .unwrap();
        String::from_utf8(created.stdout).unwrap().trim().to_owned()
    }

    /// Uploads new content of a size, and returns its URL.
    pub(crate) async fn upload(&self, size: u64) -> String {
        self.upload_as(size, None).await
    }

    /// Uploads with a token.
    pub(crate) async fn upload_as(&self, size: u64, token: Option<&str>) -> String {
        let url = format!("{}/files?file_name=a.bin", self.base);
        let request = self.client.post(url).header("content-length", size);
        let request = match token {
            Some(token) => request.bearer_auth(token),
            None => request,
        };
        let body = reqwest::Body::wrap_stream(unique(size).map(Ok::<_, std::io::Error>));
        let answer = request.body(body).send().await.unwrap();
        assert_eq!(answer.status(), 201);
        let meta: serde_json::Value = answer.json().await.unwrap();
        format!("{}{}", self.base, meta["location"].as_str().unwrap())
    }

    /// Downloads a content, and gives how many bytes came.
    pub(crate) async fn download(&self, url: &str) -> u64 {
        let answer = self.client.get(url).send().await.unwrap();
        let mut received = 0;
        let mut body = answer.bytes_stream();
        while let Some(bytes) = body.next().await {
            received += bytes.unwrap().len() as u64;
        }
        received
    }

    /// The memory that it takes up now, in bytes.
    pub(crate) fn memory(&self) -> u64 {
        self.status("VmRSS:")
    }

    /// The most memory that it took up since this was last forgotten, in bytes.
    pub(crate) fn peak(&self) -> u64 {
        self.status("VmHWM:")
    }

    /// Forgets how much memory it took up before.
    pub(crate) fn forget_peak(&self) {
        fs::write(
            format!("/proc/{}/clear_refs", self.child.id().unwrap()),
            "5",
        )
        .unwrap();
    }

    fn status(&self, name: &str) -> u64 {
        let status = format!("/proc/{}/status", self.child.id().unwrap());
        let status = fs::read_to_string(status).unwrap();
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace()
            .nth(1)
            .unwrap()
            .parse::<u64>()
            .unwrap()
            * 1024
    }

    /// The processor time that the process has used.
    pub(crate) fn processor_time(&self) -> Duration {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id().unwrap())).unwrap();
        // Behind the program's name, which may have any character: user and system time, in
        // hundredths of a second.
        let (_, fields) = stat.rsplit_once(") ").unwrap();
        let ticks = fields.split(' ').skip(11).take(2);
        let ticks: u64 = ticks.map(|ticks| ticks.parse::<u64>().unwrap()).sum();
        Duration::from_millis(ticks * 10)
    }

    /// The run time of the process's threads, to the nanosecond.
    pub(crate) fn busy(&self) -> Duration {
        let tasks = format!("/proc/{}/task", self.child.id().unwrap());
        let mut busy = 0;
        for task in fs::read_dir(tasks).unwrap() {
            let path = task.unwrap().path().join("schedstat");
            let ran = fs::read_to_string(path).unwrap_or_default();
            let ran = ran
                .split(' ')
                .next()
                .and_then(|ran| ran.parse::<u64>().ok());
            busy += ran.unwrap_or_default();
        }
        Duration::from_nanos(busy)
    }

    /// Stops it in good order, and gives its data folder back.
    pub(crate) async fn stop(mut self) -> TempDir {
        let id = self.child.id().unwrap().to_string();
        Command::new("kill").arg(id).status().await.unwrap();
        let stopped = tokio::time::timeout(Duration::from_secs(40), self.child.wait());
        assert!(stopped.await.unwrap().unwrap().success());
        self.folder
    }
}

/// The service's release build.
pub(crate) fn binary() -> PathBuf {
    std::env::current_exe()
        .unwrap()
        .with_file_name("fileserver")
}

/// New content of a size, in pieces; cheap to make.
pub(crate) fn unique(size: u64) -> impl futures_util::Stream<Item = Vec<u8>> + Send + 'static {
    const PIECE: u64 = 256 * 1024;
    let mut seed = getrandom::u64().unwrap();
    stream::iter((0..size.div_ceil(PIECE)).map(move |number| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let length = PIECE.min(size - number * PIECE);
        let mut piece = vec![0x5a; usize::try_from(length).unwrap()];
        let mark = seed.to_ne_bytes();
        let marked = mark.len().min(piece.len());
        piece[..marked].copy_from_slice(&mark[..marked]);
        piece
    }))
}
