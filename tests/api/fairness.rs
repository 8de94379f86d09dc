//! Limits for each owner: no owner can use up the service, and idle uploads free their slots.

use std::{
    convert::Infallible,
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::{StreamExt as _, future::join_all, stream};
use harness::{Kind, Server, TusUpload, digests, eventually, random};
use reqwest::{Body, Method, RequestBuilder};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    time::{sleep, timeout},
};

/// A body of which one byte comes, and no other.
fn stalled() -> Body {
    let byte = stream::iter([Ok::<_, Infallible>(Bytes::from_static(b"{"))]);
    Body::wrap_stream(byte.chain(stream::pending()))
}

/// Operations that need credentials, as methods and paths of an owner without files.
async fn operations(server: &Server, which: impl Fn(&Value) -> bool) -> Vec<RequestBuilder> {
    let client = server.client();
    let contract = client.get("/openapi.json").await.json();
    let mut requests = Vec::new();
    for (template, item) in contract["paths"].as_object().unwrap() {
        for (verb, operation) in item.as_object().unwrap() {
            if which(operation) {
                let path = template
                    .replace("{file_sha1}", &digests(b"x").sha1.to_string())
                    .replace("{upload_id}", &"0".repeat(32))
                    .replace("{claim_id}", &"0".repeat(32));
                let method: Method = verb.to_uppercase().parse().unwrap();
                let request = client.request(method, &path);
                requests.push(request.header("tus-resumable", "1.0.0"));
            }
        }
    }
    requests
}

#[tokio::test]
async fn an_owner_who_asks_too_often_waits() {
    let settings = [
        ("FILESERVER_AUTH", "token"),
        ("FILESERVER_REQUESTS_PER_SECOND", "2"),
    ];
    let server = Server::start(Kind::Sqlite, &settings).await;
    let all = "files:read,files:write,metrics:read,admin";
    let [alice, bob] = ["alice", "bob"].map(|owner| server.token(owner, all));
    let needs_credentials = |operation: &Value| operation["security"][0].get("bearer").is_some();
    let client = server.client();
    for request in operations(&server, needs_credentials).await {
        let request = request.bearer_auth(&alice);
        let mut answer = client.try_send(request.try_clone().unwrap()).await.unwrap();
        while answer.status != 429 {
            assert_eq!(answer.header("ratelimit-policy"), "\"requests\";q=2;w=1");
            answer = client.try_send(request.try_clone().unwrap()).await.unwrap();
        }
        assert_eq!(answer.header("retry-after"), "1");
        assert_eq!(answer.header("ratelimit"), "\"requests\";r=0;t=1");
    }
    let bob = client.with_token(&bob);
    assert_eq!(bob.get("/usage").await.status, 200);
    sleep(Duration::from_millis(1100)).await;
    let alice = client.with_token(&alice);
    assert_eq!(alice.get("/usage").await.status, 200);
    server.finish().await;
}

#[tokio::test]
async fn bodies_that_do_not_come_are_broken_off() {
    let settings = [("FILESERVER_BODY_IDLE_TIMEOUT", "1")];
    let server = Server::start(Kind::Sqlite, &settings).await;
    let client = server.client();
    let upload = TusUpload::begin(client, 5, &[]).await;
    let partly = client.request(Method::POST, "/files?file_name=a");
    let partly = client
        .send(partly.header("upload-complete", "?0").body("x"))
        .await;
    let partly = partly.header("location").to_owned();
    let (sha1, _) = client.upload_some("a.txt").await;
    let file = format!("/files/{sha1}");
    let (tus, partial) = (
        "application/offset+octet-stream",
        "application/partial-upload",
    );
    let json = "application/json";
    let to = |method: Method, path: &str, media_type: &str| {
        let request = client
            .request(method, path)
            .header("tus-resumable", "1.0.0");
        request.header("content-type", media_type).body(stalled())
    };
    let named = format!("/files/{}?file_name=a", digests(b"x").sha1);
    let requests = [
        to(Method::POST, "/files?file_name=a", "a/b"),
        to(Method::POST, "/files", "multipart/form-data; boundary=x"),
        to(Method::PUT, &named, "a/b"),
        to(Method::PATCH, &file, json),
        to(Method::POST, &format!("{file}/links"), json),
        to(Method::POST, "/claims", json),
        to(Method::PUT, &format!("/claims/{}", "0".repeat(32)), json),
        to(Method::POST, "/tus", tus).header("upload-length", 5),
        to(Method::PATCH, &upload.url, tus).header("upload-offset", 0),
        to(Method::PATCH, &partly, partial)
            .header("upload-offset", 1)
            .header("upload-complete", "?1"),
    ];
    let began = Instant::now();
    for answer in join_all(requests.map(|request| client.try_send(request))).await {
        answer.unwrap().problem(408, "too-slow");
    }
    assert!(began.elapsed() < Duration::from_secs(10));
    // The acknowledged bytes of resumable uploads are kept.
    assert_eq!(upload.offset().await, 1);
    upload.remove().await;
    client.send(client.request(Method::DELETE, &partly)).await;
    let _ = server.database().sql("DELETE FROM tbl_upload");
    server.kill().await;
    server.restart().await;
    eventually(|| server.staged().is_empty()).await;
    server.finish().await;
}

#[tokio::test]
async fn a_client_that_sends_a_byte_now_and_then_is_cut_off() {
    let settings = [
        ("FILESERVER_BODY_IDLE_TIMEOUT", "2"),
        ("FILESERVER_HEADER_TIMEOUT", "1"),
    ];
    let server = Server::start(Kind::Sqlite, &settings).await;
    let head =
        "POST /files?file_name=a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n";
    // Never idle for two seconds, and yet cut off.
    let mut dripping = server.connect().await;
    dripping.write_all(head.as_bytes()).await.unwrap();
    let (mut reading, mut writing) = dripping.split();
    let drip = async {
        while writing.write_all(b"x").await.is_ok() {
            sleep(Duration::from_millis(300)).await;
        }
        std::future::pending::<()>().await;
    };
    let mut told = Vec::new();
    let read = timeout(Duration::from_secs(10), reading.read_to_end(&mut told));
    tokio::select! {
        read = read => drop(read.expect("it is cut off")),
        () = drip => {}
    }
    let told = String::from_utf8_lossy(&told);
    assert!(told.starts_with("HTTP/1.1 408"), "{told}");
    // A header, byte by byte.
    let mut slow = server.connect().await;
    let (mut reading, mut writing) = slow.split();
    let drip = async {
        for byte in head.as_bytes() {
            if writing.write_all(&[*byte]).await.is_err() {
                break;
            }
            sleep(Duration::from_millis(200)).await;
        }
        std::future::pending::<()>().await;
    };
    let mut told = Vec::new();
    let read = timeout(Duration::from_secs(8), reading.read_to_end(&mut told));
    tokio::select! {
        read = read => drop(read.expect("it is cut off")),
        () = drip => {}
    }
    let told = String::from_utf8_lossy(&told);
    assert!(
        told.is_empty() || told.starts_with("HTTP/1.1 408"),
        "{told}"
    );
    // A body that comes steadily, if slowly, is taken.
    let pieces = stream::iter(0..6).then(|_| async {
        sleep(Duration::from_millis(700)).await;
        Ok::<_, Infallible>(random(2000))
    });
    let steady = server
        .client()
        .upload_raw("a.bin", Body::wrap_stream(pieces))
        .await;
    assert_eq!(steady.status, 201, "{}", steady.text());
    server.finish().await;
}

#[tokio::test]
async fn a_body_whose_first_byte_does_not_come_is_cut_off_soon() {
    let settings = [("FILESERVER_HEADER_TIMEOUT", "1")];
    let server = Server::alone(Kind::Sqlite, &settings).await;
    let head =
        "POST /files?file_name=a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n";
    let mut idle = server.connect().await;
    idle.write_all(head.as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    let read = timeout(Duration::from_secs(20), idle.read_exact(&mut answer)).await;
    read.expect("the body may be idle for two minutes once it has begun")
        .unwrap();
    assert_eq!(&answer, b"HTTP/1.1 408");
    // After the first byte the longer time counts.
    let mut begun = server.connect().await;
    begun.write_all(head.as_bytes()).await.unwrap();
    begun.write_all(b"x").await.unwrap();
    assert!(
        timeout(Duration::from_secs(3), begun.read_exact(&mut answer))
            .await
            .is_err()
    );
    drop(begun);
    eventually(|| server.staged().is_empty()).await;
    server.finish().await;
}

/// The head of an upload of a number of bytes.
fn head(token: &str, bytes: usize) -> String {
    format!(
        "POST /files?file_name=a HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\
         Content-Type: application/octet-stream\r\nContent-Length: {bytes}\r\n\r\n"
    )
}

#[tokio::test]
async fn a_place_is_taken_by_the_first_byte() {
    let settings = [
        ("FILESERVER_AUTH", "token"),
        ("FILESERVER_CONCURRENT_UPLOADS", "3"),
        ("FILESERVER_CONCURRENT_UPLOADS_PER_OWNER", "2"),
    ];
    let server = Server::alone(Kind::Sqlite, &settings).await;
    let token = server.token("alice", "files:read,files:write");
    let mut idle = Vec::new();
    for _ in 0..6 {
        let mut connection = server.connect().await;
        let head = head(&token, 5);
        connection.write_all(head.as_bytes()).await.unwrap();
        idle.push(connection);
    }
    // Their headers have arrived before this one does.
    sleep(Duration::from_millis(300)).await;
    let (alice, bob) = (server.client_of("alice"), server.client_of("bob"));
    for client in [&alice, &bob] {
        assert_eq!(client.upload_raw("b.txt", "b").await.status, 201);
        let tus = TusUpload::begin(client, 3, &[]).await;
        assert_eq!(tus.append(0, "abc").await.status, 204);
    }
    // Of those that go on, as many get a place as the owner may have.
    for connection in &mut idle[..3] {
        connection.write_all(b"h").await.unwrap();
        sleep(Duration::from_millis(100)).await;
    }
    let mut answer = [0; 12];
    let refused = timeout(Duration::from_secs(20), idle[2].read_exact(&mut answer)).await;
    refused.expect("it is one too many").unwrap();
    assert_eq!(&answer, b"HTTP/1.1 429");
    for connection in &mut idle[..2] {
        connection.write_all(b"ello").await.unwrap();
        connection.read_exact(&mut answer).await.unwrap();
        assert!(
            [b"HTTP/1.1 201", b"HTTP/1.1 200"].contains(&&answer),
            "{}",
            String::from_utf8_lossy(&answer)
        );
    }
    server.finish().await;
}

/// A number of kilobytes of a process: what it uses now (`VmRSS`), or used at most (`VmHWM`).
fn memory(process: u32, what: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(what));
    let number = line.unwrap().split_whitespace().next();
    number.unwrap().parse().unwrap()
}

#[tokio::test]
async fn uploads_at_once_share_the_memory() {
    const UPLOADS: u64 = 200;
    let settings = [
        ("FILESERVER_AUTH", "token"),
        ("FILESERVER_CONCURRENT_UPLOADS", "256"),
        ("FILESERVER_REQUEST_MEMORY", "48MiB"),
    ];
    let server = Server::alone(Kind::Sqlite, &settings).await;
    let token = &server.token("alice", "files:read,files:write");
    server.client_of("alice").upload_some("a.txt").await;
    let before = memory(server.id().await, "VmRSS:");
    let bytes = &random(2_000_000);
    let most = bytes.len() - 1;
    // All of them wait for their last byte.
    let begun = (0..UPLOADS).map(|_| async {
        let mut connection = server.connect().await;
        let head = head(token, bytes.len());
        connection.write_all(head.as_bytes()).await.unwrap();
        connection.write_all(&bytes[..most]).await.unwrap();
        connection
    });
    let begun = join_all(begun).await;
    sleep(Duration::from_millis(500)).await;
    let ended = begun.into_iter().map(|mut connection| async move {
        connection.write_all(&bytes[most..]).await.unwrap();
        let mut answer = [0; 12];
        connection.read_exact(&mut answer).await.unwrap();
        answer
    });
    // On a busy machine, the database lets some of them wait too long.
    let answers = join_all(ended).await;
    let stored = answers
        .iter()
        .filter(|answer| answer.starts_with(b"HTTP/1.1 20"))
        .count();
    let busy = answers
        .iter()
        .filter(|answer| answer.starts_with(b"HTTP/1.1 503"))
        .count();
    assert_eq!(stored + busy, answers.len(), "{answers:?}");
    assert!(stored > answers.len() / 2, "{stored} were stored");
    // A connection has buffers of up to 256 KiB, and its thread has a stack; without a limit each upload
    // would take a megabyte more.
    let grown = memory(server.id().await, "VmHWM:") - before;
    println!("grown by {grown} kB");
    assert!(grown < 48 * 1024 + UPLOADS * 512, "{grown} kB");
    server.finish().await;
}

#[tokio::test]
async fn uploads_beyond_the_places_that_there_are_wait() {
    let settings = [
        ("FILESERVER_AUTH", "token"),
        ("FILESERVER_CONCURRENT_UPLOADS", "3"),
        ("FILESERVER_CONCURRENT_UPLOADS_PER_OWNER", "2"),
    ];
    let server = Server::alone(Kind::Sqlite, &settings).await;
    let (alice, bob) = (server.client_of("alice"), server.client_of("bob"));
    let begin = |client: &harness::Client| {
        let (client, request) = (
            client.clone(),
            client.request(Method::POST, "/files?file_name=a"),
        );
        tokio::spawn(async move { client.try_send(request.body(stalled())).await })
    };
    let running = [begin(&alice), begin(&alice), begin(&bob)];
    sleep(Duration::from_millis(500)).await;
    let refused = alice.upload_raw("b.txt", "b").await;
    refused.problem(429, "too-many-uploads");
    assert_eq!(refused.header("retry-after"), "2");
    let refused = bob.upload_raw("b.txt", "b").await;
    refused.problem(503, "unavailable");
    // A client that only reads needs no slot.
    assert_eq!(alice.get("/usage").await.status, 200);
    for upload in running {
        upload.abort();
    }
    for _ in 0..40 {
        if bob.upload_raw("b.txt", "b").await.status.is_success() {
            break;
        }
        sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(alice.upload_raw("b.txt", "b").await.status, 201);
    eventually(|| server.staged().is_empty()).await;
    server.finish().await;
}

#[tokio::test]
async fn headers_and_json_have_bounds() {
    let server = Server::start(Kind::Sqlite, &[]).await;
    let long = "x".repeat(300_000);
    let request = format!("GET /files HTTP/1.1\r\nHost: localhost\r\nX-A: {long}\r\n\r\n");
    let told = server.raw(request.as_bytes()).await;
    assert!(
        told.is_empty() || told.starts_with("HTTP/1.1 4"),
        "{}",
        &told[..told.len().min(200)]
    );
    let many = "X-A: a\r\n".repeat(500);
    let told = server
        .raw(format!("GET /files HTTP/1.1\r\nHost: localhost\r\n{many}\r\n").as_bytes())
        .await;
    assert!(told.starts_with("HTTP/1.1 4"), "{told}");
    let client = server.client();
    let body = format!("{{\"file_name\": \"{}\"}}", "x".repeat(20_000));
    let claim = client
        .request(Method::POST, "/claims")
        .header("content-type", "application/json");
    client
        .send(claim.body(body))
        .await
        .problem(413, "too-large");
    server.finish().await;
}

/// Drips bytes into a connection until it is closed, and tells how long that took.
async fn drip(server: &Server, request: &str, byte: &[u8]) -> Duration {
    let mut connection = server.connect().await;
    connection.write_all(request.as_bytes()).await.unwrap();
    let began = Instant::now();
    let (mut reading, mut writing) = connection.split();
    let mut told = Vec::new();
    let closed = timeout(Duration::from_mins(1), reading.read_to_end(&mut told));
    let dripping = async {
        while writing.write_all(byte).await.is_ok() {
            sleep(Duration::from_millis(200)).await;
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        closed = closed => drop(closed.expect("the connection is closed")),
        () = dripping => {}
    }
    began.elapsed()
}

#[tokio::test]
async fn an_unread_body_does_not_hold_its_connection() {
    let settings = [
        ("FILESERVER_AUTH", "token"),
        ("FILESERVER_BODY_IDLE_TIMEOUT", "1"),
        ("FILESERVER_HEADER_TIMEOUT", "1"),
        ("FILESERVER_CORS_ORIGINS", "http://page.example"),
    ];
    let server = Server::start(Kind::Sqlite, &settings).await;
    let preflight = "Origin: http://page.example\r\nAccess-Control-Request-Method: PUT\r\n";
    // Each is answered before its body has come, which goes on and on.
    let chunked = [
        ("GET /healthz", ""),
        ("POST /files?file_name=a", ""),
        ("POST /nowhere", ""),
        ("POST /tus", ""),
        ("OPTIONS /files", preflight),
    ];
    let waits = chunked.map(|(line, fields)| {
        let begin = format!(
            "{line} HTTP/1.1\r\nHost: localhost\r\n{fields}Transfer-Encoding: chunked\r\n\r\n"
        );
        let server = &server;
        async move { (line, drip(server, &begin, b"1\r\nx\r\n").await) }
    });
    let second = async {
        let begin =
            "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\nGET /healthz HTTP/1.1\r\nX-A: ";
        ("a second header", drip(&server, begin, b"x").await)
    };
    let (waits, (line, wait)) = tokio::join!(join_all(waits), second);
    for (line, wait) in waits {
        assert!(wait < Duration::from_secs(10), "{line}: {wait:?}");
    }
    assert!(wait < Duration::from_secs(45), "{line}: {wait:?}");
    // A client with one request after another keeps its connection.
    let alice = server.client_of("alice");
    for _ in 0..3 {
        let (_, bytes) = alice.upload_some("a.txt").await;
        assert_eq!(alice.upload_raw("a.txt", bytes).await.status, 200);
    }
    server.finish().await;
}
