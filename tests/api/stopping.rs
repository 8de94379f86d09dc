//! Requests during a graceful shutdown.

use std::time::{Duration, Instant};

use harness::{Ceph, Kind, Server, Signal, TusUpload, eventually, random, signal};
use reqwest::Method;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::{sleep, timeout},
};

use crate::resuming::half_a_patch;

/// Sends a request on a connection, and returns its answer, which has to come in one piece.
async fn ask(stream: &mut TcpStream, request: &str) -> String {
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = vec![0; 16 * 1024];
    let read = timeout(Duration::from_secs(10), stream.read(&mut answer)).await;
    let read = read.unwrap().unwrap();
    String::from_utf8_lossy(&answer[..read]).into_owned()
}

const POST: &str =
    "POST /files?file_name=a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nabc";

#[tokio::test]
async fn requests_are_taken_as_long_as_others_may_send_them() {
    let server = Server::alone(Kind::Sqlite, &[("FILESERVER_DRAIN", "6")]).await;
    let mut kept = server.connect().await;
    let health = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let answer = ask(&mut kept, health).await;
    assert!(!answer.contains("connection: close"), "{answer}");
    let mut other = server.connect().await;
    ask(&mut other, health).await;

    let began = Instant::now();
    signal(server.id().await, Signal::TERM);
    let ready = async || {
        let client = server.client();
        let answer = client.request(Method::GET, "/readyz").send().await;
        answer.unwrap().status().as_u16()
    };
    while ready().await == 200 {
        assert!(began.elapsed() < Duration::from_secs(5));
    }
    let answer = server.client().get("/readyz").await;
    assert!(answer.problem(503, "unavailable").contains("shutting down"));
    assert_eq!(answer.header("connection"), "close");
    assert_eq!(server.client().get("/healthz").await.status, 200);
    // On a connection that was kept, and on a new one.
    let answer = ask(&mut kept, POST).await;
    assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
    assert!(answer.contains("connection: close"), "{answer}");
    assert_eq!(kept.read(&mut [0]).await.unwrap(), 0);
    server.client().upload_some("b.txt").await;
    // An idle connection is closed only at the end.
    sleep(Duration::from_secs(5).saturating_sub(began.elapsed())).await;
    let answer = ask(&mut other, POST).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    server.stop_has_ended().await;
    assert!(began.elapsed() > Duration::from_secs(6));
    server.check_is_clean();
}

#[tokio::test]
async fn a_late_connection_is_refused_and_not_lost() {
    let settings = [("FILESERVER_SHUTDOWN_TIMEOUT", "20")];
    let server = Server::alone(Kind::Sqlite, &settings).await;
    // Its request, which is answered late, keeps the process running.
    let upload = TusUpload::begin(server.client(), 1_000_000, &[]).await;
    let half = random(500_000);
    let mut running = half_a_patch(&server, &upload, 0, 1_000_000, &half, "").await;
    signal(server.id().await, Signal::TERM);
    let address = server.address().await;
    let began = Instant::now();
    // Each connection that comes about is answered, until none does.
    loop {
        let connected = timeout(Duration::from_secs(15), TcpStream::connect(&address)).await;
        let Ok(mut stream) = connected.expect("nobody is left waiting") else {
            break;
        };
        let answer = ask(
            &mut stream,
            "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n",
        )
        .await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        assert!(
            began.elapsed() < Duration::from_secs(15),
            "it still listens"
        );
    }
    // Running requests are finished.
    running.write_all(&random(500_000)).await.unwrap();
    let mut answer = String::new();
    running.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 204"), "{answer}");
    assert!(answer.contains("connection: close"), "{answer}");
    server.stop_has_ended().await;
    server.check_is_clean();
}

#[tokio::test]
async fn an_upload_that_takes_too_long_goes_on_elsewhere() {
    for ceph in [false, true] {
        let mut settings = vec![("FILESERVER_SHUTDOWN_TIMEOUT", "3")];
        let store = Ceph::settings();
        if ceph {
            settings.push(("FILESERVER_PRIMARY", "ceph"));
            settings.extend(store.iter().map(|(name, value)| (*name, value.as_str())));
        }
        let server = Server::alone(Kind::Sqlite, &settings).await;
        let (second, client) = server.second_process().await;
        let bytes = random(3_000_000);
        let upload = TusUpload::begin(server.client(), bytes.len(), &[]).await;
        let some = &bytes[..1_234_567];
        let mut running = half_a_patch(&server, &upload, 0, bytes.len(), some, "").await;
        sleep(Duration::from_millis(500)).await;
        signal(server.id().await, Signal::TERM);
        let mut answer = vec![0; 4096];
        let read = timeout(Duration::from_secs(10), running.read(&mut answer)).await;
        let read = read.unwrap().unwrap();
        let answer = String::from_utf8_lossy(&answer[..read]).to_lowercase();
        assert!(answer.starts_with("http/1.1 503"), "{answer}");
        // No received byte is lost.
        assert!(answer.contains("upload-offset: 1234567"), "{answer}");
        server.stop_has_ended().await;
        let there = TusUpload::at(&client, &upload.url);
        assert_eq!(there.offset().await, 1_234_567);
        let rest = there.append(1_234_567, bytes[1_234_567..].to_vec()).await;
        assert_eq!(rest.status, 204);
        eventually(|| server.staged().is_empty()).await;
        drop(second);
        sleep(Duration::from_millis(300)).await;
        server.check_is_clean();
    }
}
