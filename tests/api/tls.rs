//! TLS and HTTP/2.

use std::{fs, path::Path, process::Command, time::Duration};

use futures_util::stream;
use harness::{Kind, Server, eventually, program, random};
use reqwest::Body;
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    sync::oneshot,
    time::timeout,
};

/// The files of a certificate that certifies itself.
pub(crate) struct Files {
    folder: TempDir,
}

impl Files {
    pub(crate) fn new() -> Self {
        let files = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        files.renew();
        files
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    /// Writes a new certificate and its key.
    fn renew(&self) {
        let config = self.path("config");
        let text = "[req]\nprompt = no\ndistinguished_name = name\nx509_extensions = extensions\n\
            [name]\nCN = localhost\n\
            [extensions]\nbasicConstraints = critical, CA:FALSE\n\
            subjectAltName = DNS:localhost, IP:127.0.0.1\n";
        fs::write(&config, text).unwrap();
        let made = program("openssl")
            .args([
                "req",
                "-x509",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:prime256v1",
            ])
            .args(["-nodes", "-days", "2", "-config", &config])
            .args([
                "-keyout",
                &self.path("key"),
                "-out",
                &self.path("certificate"),
            ])
            .output()
            .unwrap();
        assert!(
            made.status.success(),
            "{}",
            String::from_utf8_lossy(&made.stderr)
        );
    }

    pub(crate) async fn serve(&self, settings: &[(&'static str, &str)]) -> Server {
        let (certificate, key) = (self.path("certificate"), self.path("key"));
        let tls = [
            ("FILESERVER_TLS_CERTIFICATE", certificate.as_str()),
            ("FILESERVER_TLS_KEY", key.as_str()),
        ];
        Server::alone(Kind::Sqlite, &[&tls, settings].concat()).await
    }

    /// A request of curl, which trusts the current certificate only.
    fn curl(&self) -> Command {
        let mut curl = program("curl");
        curl.args(["--silent", "--show-error", "--cacert"])
            .arg(self.path("certificate"));
        curl
    }
}

/// What curl prints, if it succeeds.
fn output(curl: &mut Command) -> Result<String, String> {
    let output = curl.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() {
        Ok(text(&output.stdout))
    } else {
        Err(text(&output.stderr))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_sent_and_changed_over_http_2_and_over_http_1() {
    let files = Files::new();
    let server = files.serve(&[]).await;
    let client = server.client();
    let base = client.base();
    assert!(base.starts_with("https://"));
    let bytes = random(3_000_000);
    let source = files.folder.path().join("source");
    fs::write(&source, &bytes).unwrap();
    for (version, flag) in [("2", "--http2"), ("1.1", "--http1.1")] {
        let curl = |arguments: &[&str], path: &str| {
            let mut curl = files.curl();
            curl.args([flag, "--write-out", " %{http_code} %{http_version}"])
                .args(arguments)
                .arg(format!("{base}{path}"));
            output(&mut curl).unwrap()
        };
        let ends = |told: &str, status: u16| {
            assert!(told.ends_with(&format!(" {status} {version}")), "{told}");
        };
        let source = source.to_str().unwrap();
        // The length is announced, and then not.
        let data = format!("@{source}");
        let sent = [
            "--data-binary",
            data.as_str(),
            "--header",
            "Content-Type: a/b",
        ];
        let told = curl(&sent, &format!("/files?file_name=a{version}"));
        ends(&told, if version == "2" { 201 } else { 200 });
        let chunked = [
            "--header",
            "Content-Type: a/b",
            "--request",
            "POST",
            "--upload-file",
            "-",
        ];
        let mut piped = files.curl();
        piped
            .args([flag, "--write-out", " %{http_code} %{http_version}"])
            .args(chunked)
            .arg(format!("{base}/files?file_name=b"))
            .stdin(fs::File::open(source).unwrap());
        ends(&output(&mut piped).unwrap(), 200);
        let meta = client.list_all("").await.remove(0);
        let file = format!("/files/{}", meta.file_sha1);
        let target = files.path("target");
        ends(
            &curl(&["--output", &target], &format!("{file}/content")),
            200,
        );
        assert_eq!(fs::read(&target).unwrap(), bytes);
        let range = ["--output", &target, "--range", "1000000-1999999"];
        ends(&curl(&range, &format!("{file}/content")), 206);
        assert_eq!(fs::read(&target).unwrap(), &bytes[1_000_000..2_000_000]);
        ends(&curl(&["--head"], &format!("{file}/content")), 200);
        let name = format!("{{\"file_name\": \"new{version}\"}}");
        let json = "Content-Type: application/json";
        let renamed = curl(
            &["--request", "PATCH", "--header", json, "--data", &name],
            &file,
        );
        ends(&renamed, 200);
        assert!(renamed.contains(&format!("new{version}")), "{renamed}");
        // Limits are the same.
        ends(
            &curl(
                &["--header", "X-A: a", "--request", "GET"],
                "/files?limit=0",
            ),
            400,
        );
        ends(&curl(&["--request", "BREW"], "/files"), 405);
    }
    let said = server.log();
    assert!(said.contains("ready at https://"), "{said}");
    let health = server.command(&["health", "--at", &server.address().await]);
    assert!(health.status.success());
    server.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_certificate_is_used_and_no_connection_is_lost() {
    let files = Files::new();
    let server = files.serve(&[]).await;
    let client = server.client().clone();
    let url = client.url("/healthz");
    let is_served = || output(files.curl().arg(&url)).is_ok();
    assert!(is_served());
    let old = fs::read(files.path("certificate")).unwrap();
    let (resume, resumed) = oneshot::channel::<()>();
    let pieces = stream::unfold((0, Some(resumed)), |(piece, resumed)| async move {
        match (piece, resumed) {
            (0, resumed) => Some((Ok::<_, std::io::Error>(random(3_000_000)), (1, resumed))),
            (1, Some(resumed)) => {
                resumed.await.unwrap();
                Some((Ok(random(1000)), (2, None)))
            }
            _ => None,
        }
    });
    let slow =
        tokio::spawn(async move { client.upload_raw("a.bin", Body::wrap_stream(pieces)).await });
    server.until_one_is_coming().await;
    files.renew();
    eventually(is_served).await;
    assert!(server.log().contains("certificate reloaded"));
    fs::write(files.path("old"), old).unwrap();
    let with_old = program("curl")
        .args(["--silent", "--cacert", &files.path("old"), &url])
        .output();
    assert!(!with_old.unwrap().status.success());

    // A pair that does not fit is told, and the one before stays.
    let key = fs::read(files.path("key")).unwrap();
    for wrong in [
        "",
        "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
    ] {
        fs::write(files.path("key"), wrong).unwrap();
        let told = |server: &Server| server.log().matches("was not reloaded").count();
        let before = told(&server);
        eventually(|| told(&server) > before).await;
        assert!(is_served());
    }
    fs::write(files.path("key"), key).unwrap();
    resume.send(()).unwrap();
    assert_eq!(slow.await.unwrap().status, 201);
    server.finish().await;
}

#[tokio::test]
async fn a_pair_that_does_not_fit_stops_the_start() {
    let (files, others) = (Files::new(), Files::new());
    let empty = files.path("empty");
    fs::write(&empty, "").unwrap();
    let data = files.path("data");
    for (certificate, key, expected) in [
        (
            files.path("certificate"),
            others.path("key"),
            "cannot be used together",
        ),
        (empty.clone(), files.path("key"), "has no certificate"),
        (
            files.path("certificate"),
            empty.clone(),
            "has no private key",
        ),
        (files.path("nowhere"), files.path("key"), "could not read"),
    ] {
        let output = Command::new(harness::binary())
            .args(["serve", "--listen", "127.0.0.1:0", "--data-dir", &data])
            .args(["--tls-certificate", &certificate, "--tls-key", &key])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(expected), "{said}");
        assert!(Path::new(&data).exists());
    }
}

#[tokio::test]
async fn a_client_that_never_finishes_the_handshake_is_cut_off() {
    let files = Files::new();
    let server = files.serve(&[("FILESERVER_HEADER_TIMEOUT", "1")]).await;
    // A record of a handshake that has begun.
    for begin in [&b""[..], b"\x16\x03\x01\x02\x00\x01"] {
        let mut silent = server.connect().await;
        silent.write_all(begin).await.unwrap();
        let mut told = Vec::new();
        let read = timeout(Duration::from_secs(20), silent.read_to_end(&mut told)).await;
        let _ = read.expect("the connection is closed");
    }
    // What is no TLS is refused at once, and does no harm.
    let plain = server
        .raw(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await;
    assert!(!plain.contains("200 OK"), "{plain}");
    // HTTP/2 that never begins.
    let metrics = server.client().get("/metrics").await.text();
    assert!(
        metrics.contains("fileserver_tls_handshake_failures_total 3"),
        "{metrics}"
    );
    server.finish().await;
}
