//! The command line's uploads outlive its process.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use harness::{Kind, Server, Signal, binary, digests, random, signal};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    process::{Child, Command},
    time::{sleep, timeout},
};

const KINDS: [Kind; 3] = [Kind::Sqlite, Kind::MariaDb, Kind::Postgres];
const SIZE: usize = 30_000_000;
const HALF: u64 = 20_000_000;

/// A way to a server that counts what its clients send, and stops after some of it.
struct Counted {
    url: String,
    sent: Arc<AtomicU64>,
    limit: Arc<AtomicU64>,
}

impl Counted {
    async fn before(server: &Server) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (sent, limit) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(HALF)));
        let address = server.client().base().trim_start_matches("http://");
        let address = address.trim_end_matches('/').to_owned();
        let counters = (Arc::clone(&sent), Arc::clone(&limit));
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (address, (sent, limit)) = (address.clone(), counters.clone());
                tokio::spawn(async move { forward(client, &address, &sent, &limit).await });
            }
        });
        Self { url, sent, limit }
    }

    async fn until_it_stops(&self) {
        for _ in 0..1200 {
            if self.sent.load(Ordering::Relaxed) >= HALF {
                // What was forwarded arrives.
                return sleep(Duration::from_millis(300)).await;
            }
            sleep(Duration::from_millis(50)).await;
        }
        panic!("{} bytes were sent", self.sent.load(Ordering::Relaxed));
    }

    /// Starts to count again, and stops no more.
    fn open(&self) {
        self.limit.store(u64::MAX, Ordering::Relaxed);
        self.sent.store(0, Ordering::Relaxed);
    }

    fn stop_again(&self) {
        self.sent.store(0, Ordering::Relaxed);
        self.limit.store(HALF, Ordering::Relaxed);
    }
}

async fn forward(client: TcpStream, address: &str, sent: &AtomicU64, limit: &AtomicU64) {
    let Ok(server) = TcpStream::connect(address).await else {
        return;
    };
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let there = async {
        let mut buffer = vec![0; 64 * 1024];
        loop {
            if sent.load(Ordering::Relaxed) >= limit.load(Ordering::Relaxed) {
                // Until the client has gone, and the way is open for the next one.
                while limit.load(Ordering::Relaxed) != u64::MAX {
                    sleep(Duration::from_millis(20)).await;
                }
                return;
            }
            let count = from_client.read(&mut buffer).await.unwrap_or(0);
            if count == 0 || to_server.write_all(&buffer[..count]).await.is_err() {
                return;
            }
            sent.fetch_add(count as u64, Ordering::Relaxed);
        }
    };
    let back = tokio::io::copy(&mut from_server, &mut to_client);
    tokio::select! {
        () = there => {}
        _ = back => {}
    }
}

/// A file, a user with a state folder, and the server that the user puts it to.
struct User<'a> {
    server: &'a Server,
    way: Counted,
    folder: TempDir,
    token: String,
}

impl<'a> User<'a> {
    async fn new(server: &'a Server) -> Self {
        Self {
            server,
            way: Counted::before(server).await,
            folder: tempfile::tempdir().unwrap(),
            token: server.token("alice", "files:read,files:write"),
        }
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("big.bin")
    }

    fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    fn records(&self) -> Vec<PathBuf> {
        let records = fs::read_dir(self.state().join("fileserver/uploads"));
        let records = records.into_iter().flatten();
        records.map(|record| record.unwrap().path()).collect()
    }

    fn write(&self) -> Vec<u8> {
        let bytes = random(SIZE);
        fs::write(self.file(), &bytes).unwrap();
        bytes
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(binary());
        command
            .args(arguments)
            .env("XDG_STATE_HOME", self.state())
            .env("FILESERVER_SERVER", &self.way.url)
            .env("FILESERVER_TOKEN", &self.token)
            .env("NO_PROXY", "127.0.0.1")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }

    async fn run(&self, arguments: &[&str]) -> (String, String) {
        let output = self.command(arguments).output();
        let output = timeout(Duration::from_mins(2), output)
            .await
            .unwrap()
            .unwrap();
        let [out, err] =
            [output.stdout, output.stderr].map(|said| String::from_utf8(said).unwrap());
        assert!(output.status.success(), "{out}{err}");
        (out, err)
    }

    async fn put(&self) -> String {
        self.run(&["put", path(&self.file())]).await.1
    }

    /// Begins to put the file, and ends the process by a signal in the middle.
    async fn interrupt(&self, by: Signal) -> (Option<i32>, String) {
        self.way.stop_again();
        let put = self.command(&["put", path(&self.file())]).spawn().unwrap();
        self.way.until_it_stops().await;
        let output = end(put, by).await;
        self.way.open();
        output
    }

    async fn assert_stored(&self, bytes: &[u8]) {
        let client = self.server.client().with_token(&self.token);
        let content = format!("/files/{}/content", digests(bytes).sha1);
        assert!(client.get(&content).await.body == bytes);
        assert_eq!(self.run(&["uploads", "list"]).await.0, "");
        assert_eq!(self.records(), Vec::<PathBuf>::new());
    }
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

async fn end(client: Child, by: Signal) -> (Option<i32>, String) {
    signal(client.id().unwrap(), by);
    let ended = timeout(Duration::from_mins(1), client.wait_with_output()).await;
    let ended = ended.expect("the client ends").unwrap();
    (
        ended.status.code(),
        String::from_utf8(ended.stderr).unwrap(),
    )
}

const WITH_TOKENS: [(&str, &str); 2] = [
    ("FILESERVER_AUTH", "token"),
    ("FILESERVER_QUOTA_BYTES", "45000000"),
];

#[tokio::test]
async fn an_upload_that_was_interrupted_goes_on_in_the_next_process() {
    for kind in KINDS {
        let server = Server::start(kind, &WITH_TOKENS).await;
        let user = User::new(&server).await;
        for by in [Signal::INT, Signal::KILL] {
            let bytes = user.write();
            let (status, said) = user.interrupt(by).await;
            if by == Signal::INT {
                assert_eq!(status, Some(130), "{said}");
                assert!(said.contains("run the same command again"), "{said}");
            }
            let records = user.records();
            assert_eq!(records.len(), 1);
            let mode = std::os::unix::fs::PermissionsExt::mode(
                &fs::metadata(&records[0]).unwrap().permissions(),
            );
            assert_eq!(mode & 0o777, 0o600);
            let said = user.put().await;
            assert!(said.contains("resuming"), "{said}");
            let sent = user.way.sent.load(Ordering::Relaxed);
            assert!(sent < SIZE as u64 - HALF / 2, "{sent} bytes were sent");
            user.assert_stored(&bytes).await;
            user.run(&["rm", "--purge", &digests(&bytes).sha1.to_string()])
                .await;
        }
        server.finish().await;
    }
}

#[tokio::test]
async fn a_file_that_changed_starts_anew() {
    let server = Server::start(Kind::Sqlite, &WITH_TOKENS).await;
    let user = User::new(&server).await;
    user.write();
    user.interrupt(Signal::INT).await;
    // The older upload makes room, although its content is another.
    let bytes = user.write();
    let said = user.put().await;
    assert!(!said.contains("resuming"), "{said}");
    assert!(user.way.sent.load(Ordering::Relaxed) >= SIZE as u64);
    user.assert_stored(&bytes).await;
    server.finish().await;
}

#[tokio::test]
async fn an_upload_that_was_forgotten_locks_nobody_out() {
    let server = Server::start(Kind::Sqlite, &WITH_TOKENS).await;
    let user = User::new(&server).await;
    let bytes = user.write();
    user.interrupt(Signal::KILL).await;
    fs::remove_dir_all(user.state()).unwrap();
    // The quota has no room for both.
    user.put().await;
    user.assert_stored(&bytes).await;
    server.finish().await;
}

#[tokio::test]
async fn unfinished_uploads_are_listed_and_dropped_by_the_command_line() {
    let server = Server::start(Kind::Sqlite, &WITH_TOKENS).await;
    let user = User::new(&server).await;
    let bytes = user.write();
    user.interrupt(Signal::INT).await;
    let (out, _) = user.run(&["uploads", "list"]).await;
    assert!(out.contains("big.bin") && out.lines().count() == 1, "{out}");
    let (json, _) = user.run(&["uploads", "list", "--json"]).await;
    let listed: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(listed["length"], SIZE);
    let id = listed["id"].as_str().unwrap();
    user.run(&["uploads", "drop", id]).await;
    assert_eq!(user.run(&["uploads", "list"]).await.0, "");
    let again = user.command(&["uploads", "drop", id]).output().await;
    assert_eq!(again.unwrap().status.code(), Some(1));
    // What the server has forgotten starts anew.
    let said = user.put().await;
    assert!(!said.contains("resuming"), "{said}");
    user.assert_stored(&bytes).await;
    server.finish().await;
}
