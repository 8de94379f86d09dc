//! Downloads through a real nginx, with the configuration that the project ships.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use futures_util::future::join_all;
use harness::{Client, Kind, Nginx, Server, UNLIMITED, eventually, program, random, unique_text};
use reqwest::{Method, StatusCode};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    time::sleep,
};

use crate::linking::share;

async fn start(settings: &[(&'static str, &str)]) -> Server {
    let mut all = vec![
        ("FILESERVER_AUTH", "token"),
        ("FILESERVER_TRUSTED_PROXIES", "127.0.0.1"),
        ("FILESERVER_ACCEL_REDIRECT", "/_objects/"),
    ];
    all.extend(settings);
    Server::alone(Kind::Sqlite, &all).await
}

/// The fields of a download that say what it is.
const FIELDS: [&str; 12] = [
    "accept-ranges",
    "cache-control",
    "content-disposition",
    "content-security-policy",
    "content-type",
    "cross-origin-resource-policy",
    "etag",
    "last-modified",
    "referrer-policy",
    "repr-digest",
    "vary",
    "x-content-type-options",
];

#[tokio::test]
async fn a_download_through_nginx_is_as_one_from_the_service() {
    let server = start(&[]).await;
    let nginx = Nginx::before(&server, &UNLIMITED).await;
    let direct = server.client_of("alice");
    let bytes = random(700_000);
    let meta = direct.upload_raw("数 据.bin", bytes.clone()).await.meta();
    let sha1 = meta.file_sha1;
    // The expected answers come from a service without nginx in its settings.
    let plain = Server::alone(Kind::Sqlite, &[]).await;
    plain.client().upload_raw("数 据.bin", bytes.clone()).await;
    let link = direct.send(share(&direct, &sha1.to_string())).await.json();
    let link = link["url"].as_str().unwrap().to_owned();
    let through = direct.by_way_of(nginx.base());
    let content = format!("/files/{sha1}/content");
    let tag = format!("\"{sha1}\"");
    for fields in [
        &[][..],
        &[("range", "bytes=10-19")],
        &[("range", "bytes=-5")],
        &[("range", "bytes=699999-")],
        &[("range", "bytes=0-0,100-109")],
        &[("range", "bytes=700000-")],
        &[("range", "bytes=abc")],
        &[("range", "lines=1-2")],
        &[("range", "bytes=1-2"), ("if-range", &tag)],
        &[("range", "bytes=1-2"), ("if-range", "\"other\"")],
        &[("if-none-match", &tag)],
        &[("if-none-match", "\"other\"")],
        &[("if-match", &tag)],
        &[("if-match", "\"other\"")],
        &[("if-modified-since", "Thu, 01 Jan 2032 00:00:00 GMT")],
        &[("if-unmodified-since", "Thu, 01 Jan 1998 00:00:00 GMT")],
        &[("if-modified-since", "Thu, 01 Jan 1998 00:00:00 GMT")],
    ] {
        let ask = |client: &Client, method: Method, path: &str| {
            let mut request = client.request(method, path);
            for (name, value) in fields {
                request = request.header(*name, *value);
            }
            let client = client.clone();
            async move { client.try_send(request).await.unwrap() }
        };
        for path in [&content, &link] {
            let by_link = *path == link;
            let expected = ask(plain.client(), Method::GET, &content).await;
            let answer = ask(&through, Method::GET, path).await;
            assert_eq!(
                answer.status,
                expected.status,
                "{fields:?}: {}",
                answer.text()
            );
            let is_multipart = expected.header("content-type").starts_with("multipart/");
            if is_multipart {
                for piece in [&bytes[..1], &bytes[100..110]] {
                    let is_there = answer.body.windows(piece.len()).any(|found| found == piece);
                    assert!(is_there, "{fields:?}");
                }
            } else if expected.status.is_success() {
                assert!(answer.body == expected.body, "{fields:?}");
            }
            for field in FIELDS {
                let same = answer.header(field) == expected.header(field);
                let differs = match field {
                    "content-type" => is_multipart,
                    "last-modified" => !answer.header(field).is_empty(),
                    "cross-origin-resource-policy" | "referrer-policy" | "vary" => by_link,
                    _ => false,
                };
                let (found, wanted) = (answer.header(field), expected.header(field));
                assert!(same || differs, "{fields:?} {field}: {found}, not {wanted}");
                assert!(
                    answer.headers.get_all(field).iter().count() <= 1,
                    "{fields:?} {field}"
                );
            }
            assert!(!answer.headers.contains_key("x-accel-redirect"));
            assert!(!answer.header("x-request-id").is_empty());
        }
        let expected = ask(plain.client(), Method::HEAD, &content).await;
        let head = ask(&through, Method::HEAD, &content).await;
        assert_eq!(head.status, expected.status, "{fields:?}");
        assert_eq!(
            head.header("content-length"),
            expected.header("content-length")
        );
    }
    // That it was nginx who sent them: the service has sent no byte of any that was whole.
    let log = server.log();
    let whole = log.lines().filter(|line| {
        let is_download = ["download_file", "follow_link"]
            .iter()
            .any(|operation| line.contains(&format!("\"operation\":\"{operation}\"")));
        is_download && line.contains("\"status\":200") && line.contains("\"method\":\"GET\"")
    });
    let by_service = whole.clone().filter(|line| !line.contains("\"sent\":0,"));
    // Those with `If-Match`, and with a date that only the service can weigh.
    assert!(by_service.count() <= 2 * 2 && whole.count() > 15, "{log}");
    plain.finish().await;
    server.finish().await;
}

#[tokio::test]
async fn without_nginx_the_service_sends_the_bytes() {
    let settings = [("FILESERVER_TRUSTED_PROXIES", "127.0.0.9")];
    let server = start(&settings).await;
    let alice = server.client_of("alice");
    let (sha1, bytes) = alice.upload_some("a.txt").await;
    let answer = alice.get(&format!("/files/{sha1}/content")).await;
    assert_eq!(answer.body, bytes);
    assert!(!answer.headers.contains_key("x-accel-redirect"));
    server.finish().await;
}

#[tokio::test]
async fn objects_are_reached_through_the_service_only() {
    let server = start(&[]).await;
    let nginx = Nginx::before(&server, &UNLIMITED).await;
    let alice = server.client_of("alice");
    let (sha1, bytes) = alice.upload_some("secret.txt").await;
    let object = server.objects().remove(0);
    let name = object.file_name().unwrap().to_str().unwrap();
    let key = format!("{}/{name}", &sha1.to_string()[38..]);
    let address = nginx.base().strip_prefix("http://").unwrap();
    for path in [
        format!("/_objects/{key}"),
        format!("/_objects/whole/{key}"),
        format!("//_objects/{key}"),
        format!("/_objects//{key}"),
        format!("/%5fobjects/{key}"),
        format!("/_objects%2f{key}"),
        format!("/x/../_objects/{key}"),
        format!("/x/%2e%2e/_objects/{key}"),
        format!("/files/..%2f_objects/{key}"),
        format!("/d/..%2f..%2f_objects/{key}"),
        format!("/_objects/../_objects/{key}"),
        "/_objects/../../fileserver.db".to_owned(),
        "/_objects/whole/../../../etc/passwd".to_owned(),
        "/_store/".to_owned(),
        format!("http://x/_objects/{key}"),
    ] {
        let output = program("curl")
            .args([
                "--silent",
                "--path-as-is",
                "--include",
                "--request-target",
                &path,
            ])
            .args(["--header", &format!("X-Accel-Redirect: /_objects/{key}")])
            .args(["--header", "X-Store-Url: http://127.0.0.1:1/"])
            .arg(format!("http://{address}/"))
            .output()
            .unwrap();
        let answer = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(answer.starts_with("HTTP/1.1 40"), "{path}: {answer}");
        assert!(
            !answer.contains(std::str::from_utf8(&bytes).unwrap()),
            "{path}"
        );
    }
    // Nor by way of a name, a range, or another's entry.
    let bob = server.client_of("bob").by_way_of(nginx.base());
    bob.get(&format!("/files/{sha1}/content"))
        .await
        .problem(404, "not-found");
    server.finish().await;
}

#[tokio::test]
async fn nginx_passes_on_whom_it_speaks_for_and_keeps_secrets() {
    let server = start(&[]).await;
    let nginx = Nginx::before(&server, &UNLIMITED).await;
    let token = server.token("alice", "files:read,files:write");
    let alice = server.client().with_token(&token).by_way_of(nginx.base());
    let (sha1, bytes) = alice.upload_some("a.txt").await;
    let link = alice.send(share(&alice, &sha1.to_string())).await.json();
    let link = link["url"].as_str().unwrap();
    let anybody = server.client().by_way_of(nginx.base());
    let spoofed = anybody
        .request(Method::GET, link)
        .header("x-forwarded-for", "203.0.113.9");
    let answer = anybody
        .try_send(spoofed.header("x-request-id", "my-own"))
        .await
        .unwrap();
    assert_eq!(answer.body, bytes);
    assert_eq!(answer.header("x-request-id"), "my-own");
    std::fs::remove_file(server.objects().remove(0)).unwrap();
    anybody.get(link).await.problem(500, "internal");
    eventually(|| server.log().contains("my-own")).await;
    let log = server.log();
    assert!(
        !log.contains("203.0.113.9"),
        "nobody chooses the address that is logged"
    );
    let of_both = log + &nginx.log();
    for secret in [&token[4..], &link[3..]] {
        assert!(!of_both.contains(secret), "a secret is in a log");
    }
    let access = nginx.log();
    assert!(access.contains("/d/-"), "{access}");
    alice.upload_raw("a.txt", bytes).await;
    server.finish().await;
}

#[tokio::test]
async fn nginx_bounds_downloads_and_lets_uploads_through_as_they_come() {
    let server = start(&[("FILESERVER_BODY_IDLE_TIMEOUT", "5")]).await;
    let settings = [
        ("PROXY_API_REQUESTS", "1000r/s"),
        ("PROXY_API_BURST", "1000"),
        ("PROXY_DOWNLOAD_REQUESTS", "1r/s"),
        ("PROXY_DOWNLOAD_BURST", "3"),
        ("PROXY_DOWNLOAD_SPEED", "1m"),
        ("PROXY_DOWNLOAD_SPEED_AFTER", "100k"),
    ];
    let nginx = Nginx::before(&server, &settings).await;
    let alice = server.client_of("alice").by_way_of(nginx.base());
    // nginx counts whole seconds, and may begin right before the next one.
    let bytes = random(3_300_000);
    let sha1 = alice
        .upload_raw("a.bin", bytes.clone())
        .await
        .meta()
        .file_sha1;
    let content = format!("/files/{sha1}/content");
    let began = std::time::Instant::now();
    let download = alice.request(Method::GET, &content).send().await.unwrap();
    assert!(download.bytes().await.unwrap() == bytes);
    assert!(
        began.elapsed() > Duration::from_millis(900),
        "{:?}",
        began.elapsed()
    );
    let range = || {
        alice
            .request(Method::GET, &content)
            .header("range", "bytes=0-1")
            .send()
    };
    let answers = join_all((0..10).map(|_| range())).await;
    let statuses: Vec<StatusCode> = answers
        .into_iter()
        .map(|answer| answer.unwrap().status())
        .collect();
    assert!(
        statuses.contains(&StatusCode::TOO_MANY_REQUESTS),
        "{statuses:?}"
    );
    let refused = range().await.unwrap();
    assert_eq!(
        refused.headers()["content-type"],
        "application/problem+json"
    );
    assert!(refused.headers().contains_key("retry-after"));
    let problem: Value = serde_json::from_slice(&refused.bytes().await.unwrap()).unwrap();
    assert_eq!(problem["type"], "urn:fileserver:problem:rate-limited");

    // An upload is at the service before it is whole.
    let (sender, receiver) =
        tokio::sync::mpsc::unbounded_channel::<Result<Vec<u8>, std::io::Error>>();
    let body = futures_util::stream::unfold(receiver, async |mut receiver| {
        receiver.recv().await.map(|piece| (piece, receiver))
    });
    let request = alice.request(Method::POST, "/files?file_name=b.bin");
    let request = request.body(reqwest::Body::wrap_stream(body));
    let upload = tokio::spawn({
        let alice = alice.clone();
        async move { alice.send(request).await }
    });
    sender.send(Ok(random(1_200_000))).unwrap();
    eventually(|| !server.staged().is_empty()).await;
    sender.send(Ok(unique_text().into_bytes())).unwrap();
    drop(sender);
    assert_eq!(upload.await.unwrap().status, 201);
    sleep(Duration::from_millis(50)).await;
    server.finish().await;
}

/// Gives every connection the same answer, and keeps the requests.
///
/// It stands for a service and for a store, as long as no store is there that is not a disk.
async fn answering(answer: String) -> (String, Arc<Mutex<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let asked = Arc::new(Mutex::new(String::new()));
    let keeping = Arc::clone(&asked);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = vec![0; 16 * 1024];
            let read = stream.read(&mut request).await.unwrap_or_default();
            let request = String::from_utf8_lossy(&request[..read]).into_owned();
            keeping.lock().unwrap().push_str(&request);
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    (address, asked)
}

#[tokio::test]
async fn a_presigned_url_is_for_the_store_alone() {
    let presigned = "/bucket/3a/a%2Fb+c?X-Amz-Credential=key%2F20260131&X-Amz-Signature=5ec2e7";
    let (store, asked) = answering(
        "HTTP/1.1 206 Partial Content\r\nContent-Length: 5\r\nContent-Range: bytes 1-5/11\r\n\
         ETag: \"of the store\"\r\nx-amz-request-id: 7\r\nSet-Cookie: a=b\r\n\
         Connection: close\r\n\r\nello "
            .to_owned(),
    )
    .await;
    let (service, _) = answering(format!(
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nContent-Type: text/plain\r\n\
         ETag: \"of the file\"\r\nRepr-Digest: sha=:Kq5sNclPz7QV2+lfQIuc6R7oRu0=:\r\n\
         Accept-Ranges: bytes\r\nX-Accel-Redirect: /_store/\r\n\
         X-Store-Url: http://{store}{presigned}\r\nX-Store-Range: bytes=1-5\r\n\
         Connection: close\r\n\r\n"
    ))
    .await;
    let folder = tempfile::tempdir().unwrap();
    let nginx = Nginx::start(&service, folder.path(), &UNLIMITED).await;
    let answer = harness::http()
        .build()
        .unwrap()
        .get(format!("{}/d/token", nginx.base()))
        .header("authorization", "Bearer secret")
        .header("range", "bytes=1-5")
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), StatusCode::PARTIAL_CONTENT);
    let headers = answer.headers().clone();
    assert_eq!(headers["etag"], "\"of the file\"");
    assert_eq!(headers["content-range"], "bytes 1-5/11");
    assert_eq!(headers["content-type"], "text/plain");
    assert!(headers["repr-digest"].to_str().unwrap().starts_with("sha="));
    let told = format!("{headers:?}");
    for of_store in ["amz", "cookie", "x-store", "x-accel", "bucket"] {
        assert!(!told.to_lowercase().contains(of_store), "{told}");
    }
    assert_eq!(answer.text().await.unwrap(), "ello ");
    let asked = asked.lock().unwrap().clone();
    assert!(
        asked.starts_with(&format!("GET {presigned} HTTP/1.1\r\n")),
        "{asked}"
    );
    assert!(asked.contains("Range: bytes=1-5"), "{asked}");
    assert!(!asked.contains("secret"), "{asked}");
    assert!(!nginx.log().contains("X-Amz"), "the URL is a secret");
}
