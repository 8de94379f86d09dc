//! Details of HTTP that clients rely on, each with its section.

use harness::{Answer, Kind, Server, TusUpload, digests, random};
use reqwest::Method;

/// The methods of a field, in order.
fn methods(answer: &Answer, field: &str) -> Vec<String> {
    let listed = answer.header(field).split(", ").map(str::to_owned);
    let mut listed: Vec<String> = listed.collect();
    listed.sort();
    listed
}

/// RFC 9110 §9.3.7, §10.2.1.
#[tokio::test]
async fn options_lists_the_methods() {
    let server = Server::alone(Kind::Sqlite, &[]).await;
    let client = server.client();
    for (path, expected) in [
        ("/files", &["GET", "HEAD", "OPTIONS", "POST"][..]),
        ("/tus", &["OPTIONS", "POST"]),
    ] {
        let answer = client.send(client.request(Method::OPTIONS, path)).await;
        assert_eq!(answer.status, 204, "{path}");
        assert_eq!(methods(&answer, "allow"), expected, "{path}");
    }
    let content = format!("/files/{}/content", digests(b"").sha1);
    let answer = client.send(client.request(Method::OPTIONS, &content)).await;
    answer.problem(405, "method-not-allowed");
    assert_eq!(methods(&answer, "allow"), ["GET", "HEAD"]);
    server.finish().await;
}

/// Fetch §3.2.2.
#[tokio::test]
async fn a_preflight_lists_methods_that_exist() {
    let origins = ("FILESERVER_CORS_ORIGINS", "http://localhost:3000");
    let server = Server::alone(Kind::Sqlite, &[origins]).await;
    let client = server.client();
    let preflight = |origin: &str, path: &str| {
        client
            .request(Method::OPTIONS, path)
            .header("origin", origin.to_owned())
            .header("access-control-request-method", "PUT")
            .send()
    };
    let path = format!("/files/{}", digests(b"").sha1);
    let allowed = preflight("http://localhost:3000", &path).await.unwrap();
    assert_eq!(allowed.status(), 200);
    let listed = &allowed.headers()["access-control-allow-methods"];
    assert_eq!(listed, "GET, HEAD, PUT, PATCH, DELETE, OPTIONS");
    let refused = preflight("http://localhost:3001", &path).await.unwrap();
    assert_eq!(refused.status(), 403);
    assert_eq!(
        refused.headers()["content-type"],
        "application/problem+json"
    );
    assert!(
        !refused
            .headers()
            .contains_key("access-control-allow-origin")
    );
    let problem = refused.text().await.unwrap();
    assert!(
        problem.contains("urn:fileserver:problem:foreign-site"),
        "{problem}"
    );
    server.finish().await;
}

/// RFC 9110 §15.5.16, RFC 5789 §3.1.
#[tokio::test]
async fn a_415_says_what_is_accepted() {
    let server = Server::alone(Kind::Sqlite, &[]).await;
    let client = server.client();
    let upload = TusUpload::begin(client, 5, &[]).await;
    let patch = |name: &str, value: &str| {
        let request = TusUpload::request_at(client, Method::PATCH, &upload.url);
        let request = request.header("upload-offset", 0).body("hello");
        client.send(request.header(name.to_owned(), value.to_owned()))
    };
    let answer = patch("content-type", "text/plain").await;
    answer.problem(415, "unsupported-media-type");
    assert_eq!(
        answer.header("accept-patch"),
        "application/offset+octet-stream"
    );
    let encoded = upload
        .appending(0)
        .header("content-encoding", "gzip")
        .body("hello");
    let answer = client.send(encoded).await;
    answer.problem(415, "unsupported-media-type");
    assert_eq!(answer.header("accept-encoding"), "identity");
    for codings in [["identity", "gzip"], ["identity, br", "identity"]] {
        let mut encoded = upload.appending(0).body("hello");
        for coding in codings {
            encoded = encoded.header("content-encoding", coding);
        }
        let answer = client.send(encoded).await;
        answer.problem(415, "unsupported-media-type");
    }
    let plain = upload
        .appending(0)
        .header("content-encoding", "identity, Identity")
        .body("hello");
    assert_eq!(client.send(plain).await.status, 204);
    server.finish().await;
}

/// RFC 9112 §6.3.
#[tokio::test]
async fn no_length_is_no_body_in_http_1_0_too() {
    let server = Server::start(Kind::Sqlite, &[]).await;
    for (request, status) in [
        (
            "POST /tus HTTP/1.0\r\nTus-Resumable: 1.0.0\r\nUpload-Length: 5",
            "201",
        ),
        ("POST /files?file_name=empty HTTP/1.0", "201"),
        (
            "DELETE /files/da39a3ee5e6b4b0d3255bfef95601890afd80709 HTTP/1.0",
            "204",
        ),
        ("POST /nowhere HTTP/1.0", "404"),
        ("POST /tus HTTP/1.0\r\nContent-Length: x", "400"),
    ] {
        let host = "Host: 127.0.0.1\r\n\r\n";
        let answer = server.raw(format!("{request}\r\n{host}").as_bytes()).await;
        let begin = answer.lines().next().unwrap_or_default();
        assert!(begin.contains(status), "{request}: {answer}");
    }
    server.finish().await;
}

/// RFC 9110 §15.5.6.
#[tokio::test]
async fn a_page_refuses_other_methods_with_a_problem() {
    let server = Server::start(Kind::Sqlite, &[]).await;
    let post =
        "POST /swagger-ui/index.html HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 0\r\n\r\n";
    let answer = server.raw(post.as_bytes()).await.to_lowercase();
    assert!(answer.starts_with("http/1.1 405"), "{answer}");
    assert!(answer.contains("allow: get, head\r\n"), "{answer}");
    assert!(answer.contains("problem:method-not-allowed"), "{answer}");
    server.finish().await;
}

/// RFC 9112 §3.2.
#[tokio::test]
async fn a_malformed_host_is_refused() {
    let server = Server::alone(Kind::Sqlite, &[]).await;
    for head in [
        "Host: local host\r\n",
        "Host: localhost\r\nHost: localhost\r\n",
        "Host: user@localhost\r\n",
        "",
    ] {
        let request = format!("GET /files HTTP/1.1\r\n{head}Connection: close\r\n\r\n");
        let answer = server.raw(request.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 400"), "{head}: {answer}");
        // The library refuses the others before they reach the service.
        let is_told = answer.contains("urn:fileserver:problem:invalid-header");
        assert_eq!(
            is_told,
            head.matches("Host").count() == 1,
            "{head}: {answer}"
        );
    }
    server.finish().await;
}

/// RFC 9110 §8.8.2.1.
#[tokio::test]
async fn no_file_was_changed_after_the_date_of_its_answer() {
    let server = Server::alone(Kind::Sqlite, &[]).await;
    let client = server.client();
    for _ in 0..12 {
        let meta = client.upload_raw("a.bin", random(100)).await.meta();
        let answer = client.get(&meta.location.to_string()).await;
        let (date, changed) = (answer.header("date"), answer.header("last-modified"));
        // Both have the same form: `Sun, 06 Nov 1994 08:49:37 GMT`.
        let is_same_day = changed[..16] == date[..16];
        assert!(!is_same_day || changed <= date, "{changed} is after {date}");
        tokio::time::sleep(std::time::Duration::from_millis(130)).await;
    }
    server.finish().await;
}

/// RFC 9530 §4.
#[tokio::test]
async fn a_client_gets_the_digest_that_it_wants() {
    let server = Server::alone(Kind::Sqlite, &[]).await;
    let client = server.client();
    let meta = client.upload_raw("a.bin", "hello").await.meta();
    for (wish, has_sha1, has_sha256) in [
        ("sha-256=1", false, true),
        ("sha=5", true, false),
        ("sha-512=9", true, true),
    ] {
        let request = client.request(Method::GET, &meta.location.to_string());
        let answer = client.send(request.header("want-repr-digest", wish)).await;
        let digest = answer.header("repr-digest");
        assert_eq!(digest.contains("sha=:"), has_sha1, "{wish}: {digest}");
        assert_eq!(digest.contains("sha-256=:"), has_sha256, "{wish}: {digest}");
    }
    // An algorithm that is not known is ignored.
    let upload = client.request(Method::POST, "/files?file_name=b").body("b");
    let upload = upload.header("repr-digest", "sha-512=:AAAA:");
    assert_eq!(client.send(upload).await.status, 201);
    server.finish().await;
}
