//! Independent clients, and the service's own, while the service is killed and restarted.

use std::{
    ffi::{OsStr, OsString},
    fs,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use harness::{
    Ceph, Kind, Nginx, Server, binary, digests, free_port, path_variable, random, unique_text,
};
use serde_json::Value;
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    process::{Child, Command},
    time::{sleep, timeout},
};

const KINDS: [Kind; 3] = [Kind::Sqlite, Kind::MariaDb, Kind::Postgres];

/// A file to upload, in a folder of its own.
struct Given {
    _folder: TempDir,
    path: PathBuf,
    bytes: Vec<u8>,
}

impl Given {
    fn new(size: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("given.bin");
        let bytes = random(size);
        fs::write(&path, &bytes).unwrap();
        Self {
            _folder: folder,
            path,
            bytes,
        }
    }

    async fn assert_stored(&self, server: &Server) {
        let file = format!("/files/{}", digests(&self.bytes).sha1);
        let content = server.client().get(&format!("{file}/content")).await;
        assert!(content.body == self.bytes, "{}", content.status);
    }
}

/// A program that talks to a server.
fn program(name: impl AsRef<OsStr>, arguments: &[&OsStr]) -> Command {
    let mut command = Command::new(name);
    command
        .args(arguments)
        .env("NO_PROXY", "127.0.0.1")
        .env(
            "XDG_STATE_HOME",
            std::env::temp_dir().join("fileserver-state"),
        )
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

/// A tus client that reports its progress.
fn tus_client(runner: &str, arguments: &[&OsStr]) -> Command {
    let mut command = program(runner, arguments);
    command.env("SLOW_MS", "30");
    command
}

/// Kills and restarts the server each time that the client has made some progress.
async fn disturb(server: &Server, mut client: Child, times: usize) -> Value {
    let mut said = String::new();
    let mut lines = BufReader::new(client.stderr.take().unwrap()).lines();
    let mut steps = 0;
    let mut kills = 0;
    while let Some(line) = timeout(Duration::from_mins(1), lines.next_line())
        .await
        .expect("the client goes on")
        .unwrap()
    {
        if line.starts_with("progress ") {
            steps += 1;
            if steps % 4 == 0 && kills < times {
                kills += 1;
                server.kill().await;
                sleep(Duration::from_millis(300)).await;
                server.restart().await;
            }
        }
        said.push_str(&line);
        said.push('\n');
    }
    let ended = client.wait_with_output().await.unwrap();
    assert!(ended.status.success(), "{said}");
    assert_eq!(kills, times, "{said}");
    serde_json::from_slice(&ended.stdout).unwrap()
}

async fn by_tus(kind: Kind, runner: &str, script: &Path, modes: &[&str]) {
    let server = Server::start(kind, &[]).await;
    let endpoint: OsString = server.client().url("/tus").into();
    for mode in modes {
        let given = Given::new(4_000_000);
        let arguments = [
            script.as_os_str(),
            &endpoint,
            given.path.as_os_str(),
            mode.as_ref(),
        ];
        let client = tus_client(runner, &arguments).spawn().unwrap();
        let report = disturb(&server, client, 2).await;
        given.assert_stored(&server).await;
        let file = format!("/files/{}", digests(&given.bytes).sha1);
        assert_eq!(report["location"], file, "{mode}: {report}");
        if *mode == "with-sha1" {
            // The second time, the content is known.
            let again = tus_client(runner, &arguments).output().await.unwrap();
            let report: Value = serde_json::from_slice(&again.stdout).unwrap();
            assert_eq!(report["location"], file, "{report}");
        }
    }
    server.finish().await;
}

#[tokio::test]
async fn tus_js_client_survives_a_service_that_is_killed() {
    let script = PathBuf::from(path_variable("TEST_TUS_JAVASCRIPT"));
    let modes = [
        "plain",
        "abort",
        "parallel",
        "deferred",
        "with-sha1",
        "creation-with-upload",
    ];
    for kind in KINDS {
        by_tus(kind, "node", &script, &modes).await;
    }
}

#[tokio::test]
async fn tuspy_survives_a_service_that_is_killed() {
    let python = path_variable("TEST_TUS_PYTHON").into_string().unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("clients/python/upload.py");
    for kind in KINDS {
        by_tus(kind, &python, &script, &["plain", "checksum", "resume"]).await;
    }
}

/// The service's own client.
fn fileserver(server: &Server, arguments: &[&str]) -> Command {
    let url = server.client().url("");
    let mut all: Vec<&OsStr> = arguments.iter().map(OsStr::new).collect();
    let server_url = OsString::from(url);
    all.extend([OsStr::new("--server"), &server_url]);
    program(binary(), &all)
}

async fn run(mut command: Command, status: i32) -> (String, String) {
    let output = timeout(Duration::from_mins(2), command.output()).await;
    let output = output.expect("the client ends").unwrap();
    let [out, err] = [output.stdout, output.stderr].map(|said| String::from_utf8(said).unwrap());
    assert_eq!(output.status.code(), Some(status), "{out}{err}");
    (out, err)
}

#[tokio::test]
async fn the_command_line_puts_lists_gets_renames_and_removes() {
    for kind in KINDS {
        // The changes below bypass the cache.
        let server = Server::start(kind, &[("FILESERVER_CACHE_AGE", "1")]).await;
        let given = Given::new(1_500_000);
        let path = given.path.to_str().unwrap();
        let sha1 = digests(&given.bytes).sha1.to_string();

        let (out, err) = run(fileserver(&server, &["put", path]), 0).await;
        assert_eq!(out, format!("{sha1}  given.bin\n"));
        assert!(err.contains("uploaded"), "{err}");
        let (_, err) = run(fileserver(&server, &["put", path]), 0).await;
        assert!(err.contains("already there"), "{err}");
        given.assert_stored(&server).await;
        // A content that another owner has is proven, not sent.
        let theirs = format!("UPDATE tbl_user_file SET owner = 'bob' WHERE file_sha1 = '{sha1}'");
        let _ = server.database().sql(&theirs);
        assert!(server.command(&["quota", "recount"]).status.success());
        sleep(Duration::from_secs(1)).await;
        let (_, err) = run(fileserver(&server, &["put", path]), 0).await;
        assert!(err.contains("instant"), "{err}");

        run(fileserver(&server, &["mv", &sha1, "renamed.bin"]), 0).await;
        let (out, _) = run(fileserver(&server, &["ls"]), 0).await;
        assert!(out.contains(&sha1) && out.contains("renamed.bin"), "{out}");
        let (out, _) = run(fileserver(&server, &["ls", "--json"]), 0).await;
        let listed: Value = serde_json::from_str(out.trim()).unwrap();
        assert_eq!(listed["file_name"], "renamed.bin");

        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("got.bin");
        let target = target.to_str().unwrap();
        run(fileserver(&server, &["get", &sha1, "-o", target]), 0).await;
        assert_eq!(fs::read(target).unwrap(), given.bytes);
        run(fileserver(&server, &["get", &sha1, "-o", target]), 2).await;

        run(fileserver(&server, &["rm", &sha1]), 0).await;
        let gone = folder.path().join("gone.bin");
        let gone = gone.to_str().unwrap();
        run(fileserver(&server, &["get", &sha1, "-o", gone]), 1).await;
        let (out, _) = run(fileserver(&server, &["ls"]), 0).await;
        assert!(!out.contains(&sha1), "{out}");
        server.finish().await;
    }
}

#[tokio::test]
async fn below_a_path_of_a_plain_nginx_every_client_stores_its_file() {
    let port = free_port();
    let public = format!("http://127.0.0.1:{port}/store");
    let server = Server::alone(Kind::Sqlite, &[("FILESERVER_PUBLIC_URL", &public)]).await;
    let _nginx = Nginx::plain(port, "/store/", &server.address().await).await;
    let http = harness::http().build().unwrap();
    let text = |path: &str| http.get(format!("{public}{path}")).send();

    let given = Given::new(1_500_000);
    let put = ["put", given.path.to_str().unwrap(), "--server", &public];
    run(program(binary(), &put.map(OsStr::new)), 0).await;
    given.assert_stored(&server).await;
    let endpoint = OsString::from(format!("{public}/tus"));
    let python = path_variable("TEST_TUS_PYTHON").into_string().unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("clients/python/upload.py");
    for (runner, script) in [
        ("node", PathBuf::from(path_variable("TEST_TUS_JAVASCRIPT"))),
        (&*python, script),
    ] {
        let given = Given::new(1_000_000);
        let arguments = [
            script.as_os_str(),
            &endpoint,
            given.path.as_os_str(),
            "plain".as_ref(),
        ];
        let ended = tus_client(runner, &arguments).output().await.unwrap();
        let said = String::from_utf8_lossy(&ended.stderr);
        assert!(ended.status.success(), "{runner}: {said}");
        given.assert_stored(&server).await;
    }

    // A POST without a body and without a length is what curl sends, and nginx as HTTP/1.0.
    let endpoint = format!("{public}/tus");
    let curl = [
        ["--silent", "--include"],
        ["--request", "POST"],
        ["--header", "Tus-Resumable: 1.0.0"],
        ["--header", "Upload-Length: 5"],
        ["--url", &endpoint],
    ];
    let curl: Vec<&OsStr> = curl.as_flattened().iter().map(OsStr::new).collect();
    let begun = program("curl", &curl).output().await.unwrap();
    let begun = String::from_utf8_lossy(&begun.stdout).to_lowercase();
    assert!(begun.starts_with("http/1.1 201"), "{begun}");
    assert!(begun.contains("location: /store/tus/"), "{begun}");
    let begun = http
        .post(format!("{public}/tus"))
        .header("tus-resumable", "1.0.0");
    let begun = begun.header("upload-length", 5).send().await.unwrap();
    assert_eq!(begun.status(), 201);
    let location = begun.headers()["location"].to_str().unwrap();
    assert!(location.starts_with("/store/tus/"), "{location}");
    let listed = text("/files?limit=1").await.unwrap();
    let next = listed.headers()["link"].to_str().unwrap().to_owned();
    assert!(next.starts_with("</store/files?"), "{next}");
    let listed: Value = serde_json::from_slice(&listed.bytes().await.unwrap()).unwrap();
    let content = listed["files"][0]["location"].as_str().unwrap();
    assert!(content.starts_with("/store/files/"), "{content}");
    let content = http.get(format!("http://127.0.0.1:{port}{content}"));
    assert_eq!(content.send().await.unwrap().status(), 200);
    let contract = text("/openapi.json").await.unwrap().bytes().await.unwrap();
    let contract: Value = serde_json::from_slice(&contract).unwrap();
    assert_eq!(contract["servers"][0]["url"], public);
    let page = text("/swagger-ui").await.unwrap();
    assert_eq!(page.url().path(), "/store/swagger-ui/");
    assert_eq!(page.status(), 200);
    server.finish().await;
}

#[tokio::test]
async fn without_a_server_the_command_line_says_what_to_do() {
    let began = std::time::Instant::now();
    for command in [
        vec!["ls"],
        vec!["put", "/etc/hostname"],
        vec!["rm", SOME_SHA1],
    ] {
        let all = [&command[..], &["--server", "http://127.0.0.1:1"]].concat();
        let all: Vec<&OsStr> = all.into_iter().map(OsStr::new).collect();
        let (_, err) = run(program(binary(), &all), 2).await;
        assert!(
            err.contains("no server answers at http://127.0.0.1:1/"),
            "{err}"
        );
        assert!(err.contains("fileserver serve"), "{err}");
    }
    assert!(began.elapsed() < Duration::from_secs(5));
    let server = Server::start(Kind::Sqlite, &[("FILESERVER_AUTH", "token")]).await;
    let (_, err) = run(fileserver(&server, &["ls"]), 1).await;
    assert!(err.contains("--token"), "{err}");
    server.finish().await;
}

#[tokio::test]
async fn a_second_name_of_a_content_is_told_as_the_server_has_it() {
    let server = Server::start(Kind::Sqlite, &[]).await;
    let given = Given::new(100_000);
    let path = given.path.to_str().unwrap();
    let sha1 = digests(&given.bytes).sha1;
    run(
        fileserver(&server, &["put", path, "--name", "first.bin"]),
        0,
    )
    .await;
    let told = format!("{sha1}  first.bin\n");
    let (out, err) = run(
        fileserver(&server, &["put", path, "--name", "other.bin"]),
        0,
    )
    .await;
    assert_eq!(out, told);
    assert!(err.contains("already there, as first.bin"), "{err}");
    let mut command = fileserver(&server, &["put", "-", "--name", "other.bin"]);
    command.stdin(fs::File::open(path).unwrap());
    let (out, err) = run(command, 0).await;
    assert_eq!(out, told);
    assert!(err.contains("already there, as first.bin"), "{err}");
    server.finish().await;
}

/// The SHA-1 of no file.
const SOME_SHA1: &str = "00000000000000000000000000000000000000aa";

#[tokio::test]
async fn the_command_line_uploads_what_comes_on_standard_input() {
    let server = Server::start(Kind::Sqlite, &[]).await;
    for size in [0, 5, 8 * 1024 * 1024, 10_000_000] {
        let bytes = random(size);
        let mut command = fileserver(&server, &["put", "-", "--name", "piped.bin"]);
        let mut client = command.stdin(Stdio::piped()).spawn().unwrap();
        let mut input = client.stdin.take().unwrap();
        input.write_all(&bytes).await.unwrap();
        drop(input);
        let output = client.wait_with_output().await.unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{size}: {said}");
        let file = format!("/files/{}/content", digests(&bytes).sha1);
        assert!(server.client().get(&file).await.body == bytes);
    }
    server.finish().await;
}

#[tokio::test]
async fn the_command_line_survives_a_service_that_is_killed() {
    for kind in KINDS {
        let server = Server::start(kind, &[]).await;
        let given = Given::new(60_000_000);
        let mut client = fileserver(&server, &["put", given.path.to_str().unwrap()]);
        let client = client.spawn().unwrap();
        // In the middle of the upload, twice, with much left to send.
        for part in [1, 2] {
            wait_for_bytes(&server, given.bytes.len() / 5 * part).await;
            server.kill().await;
            sleep(Duration::from_secs(1)).await;
            server.restart().await;
        }
        let output = timeout(Duration::from_mins(2), client.wait_with_output()).await;
        let output = output.expect("the client ends").unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
        given.assert_stored(&server).await;
        server.finish().await;
    }
}

/// Waits until so many bytes are staged.
async fn wait_for_bytes(server: &Server, count: usize) {
    for _ in 0..2000 {
        if Ceph::is_primary() {
            let staged = server.database().sql("SELECT bytes FROM tbl_staging");
            let staged = staged
                .lines()
                .filter_map(|line| line.trim().parse::<usize>().ok());
            if staged.sum::<usize>() >= count {
                return;
            }
            sleep(Duration::from_millis(5)).await;
            continue;
        }
        let sizes = server.staged().into_iter().map(|file| {
            let metadata = fs::metadata(file);
            metadata.map_or(0, |metadata| metadata.len())
        });
        if sizes.sum::<u64>() >= count as u64 {
            return;
        }
        sleep(Duration::from_millis(5)).await;
    }
    panic!("{count} bytes did not come");
}

#[tokio::test]
async fn a_token_is_sent_and_never_shown() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let secret = unique_text().replace(' ', "-");
    let mut client = Command::new(binary());
    client
        .args(["ls", "--server", &url, "--token", "env:THE_TOKEN"])
        .env("THE_TOKEN", &secret)
        .env("NO_PROXY", "127.0.0.1")
        .kill_on_drop(true);
    let answering = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut asked = vec![0; 4096];
        let length = stream.read(&mut asked).await.unwrap();
        let refusal = "HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n";
        stream.write_all(refusal.as_bytes()).await.unwrap();
        String::from_utf8_lossy(&asked[..length]).into_owned()
    };
    let (output, asked) = futures_util::future::join(client.output(), answering).await;
    assert!(
        asked
            .to_lowercase()
            .contains(&format!("authorization: bearer {secret}"))
    );
    let output = output.unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = format!("{output:?}");
    assert!(!said.contains(&secret), "{said}");
}
