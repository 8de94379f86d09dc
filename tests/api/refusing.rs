//! Refusals of what is no request: they look like those of requests.

use std::time::Duration;

use harness::{Kind, Server, eventually};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    time::timeout,
};

/// Asserts that an answer is a problem, and returns its id.
fn problem(answer: &str, status: u16, kind: &str) -> String {
    let (head, body) = answer.split_once("\r\n\r\n").expect(answer);
    assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
    let field = |name: &str| {
        let mut lines = head.lines().filter_map(|line| line.split_once(": "));
        let found = lines.find(|(other, _)| other.eq_ignore_ascii_case(name));
        found.unwrap_or_else(|| panic!("no {name}: {answer}")).1
    };
    assert_eq!(field("content-type"), "application/problem+json");
    assert_eq!(field("content-length"), body.len().to_string());
    let problem: serde_json::Value = serde_json::from_str(body).unwrap();
    assert_eq!(problem["type"], format!("urn:fileserver:problem:{kind}"));
    assert_eq!(problem["status"], status);
    field("x-request-id").to_owned()
}

#[tokio::test]
async fn what_is_no_request_is_refused_with_a_problem_that_is_logged_and_counted() {
    let server = Server::alone(Kind::Sqlite, &[("FILESERVER_HEADER_TIMEOUT", "1")]).await;
    let many = "x".repeat(300_000);
    let mut ids = Vec::new();
    for (request, status, kind) in [
        ("nonsense\r\n\r\n".to_owned(), 400, "malformed-request"),
        (
            "GET / HTTP/9.9\r\n\r\n".to_owned(),
            400,
            "malformed-request",
        ),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n".to_owned(),
            400,
            "malformed-request",
        ),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nA\u{1}: b\r\n\r\n".to_owned(),
            400,
            "malformed-request",
        ),
        (
            format!("GET / HTTP/1.1\r\nHost: localhost\r\nX-A: {many}\r\n\r\n"),
            431,
            "header-too-large",
        ),
    ] {
        let mut stream = server.connect().await;
        let (mut reading, mut writing) = stream.split();
        let mut answer = String::new();
        let read = timeout(Duration::from_secs(20), reading.read_to_string(&mut answer));
        let (_, read) = tokio::join!(writing.write_all(request.as_bytes()), read);
        read.expect("it answers").unwrap();
        ids.push((problem(&answer, status, kind), status));
    }
    let mut slow = server.connect().await;
    slow.write_all(b"GET / HT").await.unwrap();
    let mut answer = String::new();
    let read = timeout(Duration::from_secs(20), slow.read_to_string(&mut answer)).await;
    read.expect("it answers").unwrap();
    ids.push((problem(&answer, 408, "header-too-slow"), 408));

    eventually(|| {
        let log = server.log();
        ids.iter().all(|(id, status)| {
            let line = log.lines().find(|line| line.contains(id));
            line.is_some_and(|line| {
                line.contains(&format!("\"status\":{status}"))
                    && line.contains("\"operation\":\"none\"")
            })
        })
    })
    .await;
    let metrics = server.client().get("/metrics").await.text();
    for (status, count) in [(400, 4), (408, 1), (431, 1)] {
        let line =
            format!("fileserver_requests_total{{operation=\"none\",status=\"{status}\"}} {count}");
        assert!(metrics.contains(&line), "{line}: {metrics}");
    }
    server.finish().await;
}

#[tokio::test]
async fn a_malformed_body_is_refused_by_its_handler() {
    let server = Server::alone(Kind::Sqlite, &[]).await;
    for chunk in [
        "nonsense\r\n",
        "5\r\nhello\r\nnonsense\r\n",
        "fffffffffffffffff\r\n",
        "5\r\nhelloworld",
    ] {
        let mut stream = server.connect().await;
        let request = format!(
            "POST /files?file_name=a HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n{chunk}"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        let read = timeout(Duration::from_secs(20), stream.read_to_string(&mut answer)).await;
        read.expect("it answers").unwrap();
        let id = problem(&answer, 400, "invalid-body");
        eventually(|| {
            let log = server.log();
            let line = log.lines().find(|line| line.contains(&id));
            line.is_some_and(|line| line.contains("upload_file"))
        })
        .await;
    }
    eventually(|| server.staged().is_empty()).await;
    server.finish().await;
}

#[tokio::test]
async fn requests_before_a_malformed_one_are_answered() {
    let server = Server::alone(Kind::Sqlite, &[]).await;
    let request = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let answer = server
        .raw(format!("{request}{request}nonsense\r\n\r\n").as_bytes())
        .await;
    let begin = answer.rfind("HTTP/1.1 ").unwrap();
    assert_eq!(
        answer[..begin].matches("HTTP/1.1 200 OK").count(),
        2,
        "{answer}"
    );
    problem(&answer[begin..], 400, "malformed-request");
    server.finish().await;
}

#[tokio::test]
async fn a_file_that_looks_like_a_refusal_is_a_file() {
    let server = Server::alone(Kind::Sqlite, &[]).await;
    let client = server.client();
    for text in [
        "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n".to_owned(),
        format!(
            "{}HTTP/1.1 431 Request Header Fields Too Large\r\n\r\n",
            "x".repeat(100_000)
        ),
        "HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\n\r\n".to_owned(),
    ] {
        let meta = client.upload_raw("a.txt", text.clone()).await.meta();
        let path = format!("/files/{}/content", meta.file_sha1);
        for _ in 0..2 {
            assert_eq!(client.get(&path).await.text(), text);
        }
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        let answer = server.raw(request.as_bytes()).await;
        assert!(
            answer.starts_with("HTTP/1.1 200") && answer.ends_with(&text),
            "{answer}"
        );
        let garbage = server
            .raw(format!("{request}nonsense\r\n\r\n").as_bytes())
            .await;
        assert!(garbage.starts_with("HTTP/1.1 200"), "{garbage}");
        assert!(garbage.contains(&text), "{garbage}");
    }
    server.finish().await;
}
