//! Downloads: headers, ranges, conditions.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use domain::FileMeta;
use harness::{Answer, Server, digests, on_every_database, random};
use reqwest::{
    Method,
    multipart::{Form, Part},
};

on_every_database! {
    a_download_says_what_it_is,
    names_are_one_safe_line,
    nothing_that_runs_script_is_shown_inline,
    ranges_are_sent_one_or_several,
    ranges_that_cannot_be_sent_are_told,
    conditions_are_honoured,
    a_range_is_sent_only_of_the_right_file,
    what_is_told_about_a_file_can_be_cached,
    a_download_goes_on_when_the_file_is_deleted,
}

async fn upload_as(server: &Server, name: &str, kind: &str, bytes: Vec<u8>) -> FileMeta {
    let client = server.client();
    let part = Part::bytes(bytes)
        .file_name(name.to_owned())
        .mime_str(kind)
        .unwrap();
    let form = Form::new().part("file", part);
    let answer = client
        .send(client.request(Method::POST, "/files").multipart(form))
        .await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    answer.meta()
}

async fn download(server: &Server, meta: &FileMeta, fields: &[(&str, &str)]) -> Answer {
    let client = server.client();
    let mut request = client.request(Method::GET, &meta.location.to_string());
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    client.send(request).await
}

async fn a_download_says_what_it_is(server: &Server) {
    let client = server.client();
    let bytes = random(1_000_000);
    let content = digests(&bytes);
    let meta = upload_as(server, "a.txt", "text/plain", bytes.clone()).await;
    let answer = download(server, &meta, &[]).await;
    assert_eq!(answer.status, 200);
    assert!(answer.body == bytes);
    for (name, value) in [
        ("content-type", "text/plain"),
        ("content-length", "1000000"),
        ("etag", &format!("\"{}\"", content.sha1)),
        (
            "content-disposition",
            "attachment; filename=\"a.txt\"; filename*=UTF-8''a.txt",
        ),
        ("accept-ranges", "bytes"),
        ("cache-control", "private, no-cache"),
        ("x-content-type-options", "nosniff"),
        (
            "repr-digest",
            &format!(
                "sha-256=:{}:, sha=:{}:",
                BASE64_STANDARD.encode(content.sha256.as_bytes()),
                BASE64_STANDARD.encode(content.sha1.as_bytes())
            ),
        ),
    ] {
        assert_eq!(answer.header(name), value, "{name}");
    }
    assert!(!answer.header("last-modified").is_empty());

    let head = client.request(Method::HEAD, &meta.location.to_string());
    let head = client.send(head.header("range", "bytes=0-1")).await;
    assert_eq!(head.status, 200, "there is no part of a header");
    assert!(head.body.is_empty());
    for name in [
        "content-length",
        "etag",
        "repr-digest",
        "content-type",
        "last-modified",
    ] {
        assert_eq!(head.header(name), answer.header(name), "{name}");
    }
}

async fn names_are_one_safe_line(server: &Server) {
    for (name, expected) in [
        (
            "a \"b\".txt",
            "attachment; filename=\"a _b_.txt\"; filename*=UTF-8''a%20%22b%22.txt",
        ),
        (
            "€ 数.txt",
            "attachment; filename=\"_ _.txt\"; filename*=UTF-8''%E2%82%AC%20%E6%95%B0.txt",
        ),
        (
            "\u{200f}שלום",
            "attachment; filename=\"_____\"; \
             filename*=UTF-8''%E2%80%8F%D7%A9%D7%9C%D7%95%D7%9D",
        ),
        (
            "👩‍🚀",
            "attachment; filename=\"___\"; filename*=UTF-8''%F0%9F%91%A9%E2%80%8D%F0%9F%9A%80",
        ),
    ] {
        let meta = upload_as(server, name, "text/plain", random(10)).await;
        let answer = download(server, &meta, &[]).await;
        assert_eq!(answer.header("content-disposition"), expected);
    }
}

async fn nothing_that_runs_script_is_shown_inline(server: &Server) {
    let client = server.client();
    for (kind, shown) in [
        ("image/png", "inline"),
        ("text/plain", "inline"),
        ("text/html", "attachment"),
        ("image/svg+xml", "attachment"),
        ("application/pdf", "attachment"),
    ] {
        let meta = upload_as(server, "a", kind, random(10)).await;
        let answer = client
            .get(&format!("{}?disposition=inline", meta.location))
            .await;
        assert!(
            answer.header("content-disposition").starts_with(shown),
            "{kind}"
        );
        assert_eq!(
            answer.header("content-security-policy"),
            "default-src 'none'; sandbox"
        );
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
    }
}

async fn ranges_are_sent_one_or_several(server: &Server) {
    let bytes = random(600_000);
    let meta = upload_as(server, "a.bin", "image/png", bytes.clone()).await;
    for (range, start, end) in [
        ("bytes=0-0", 0, 1),
        ("bytes=10-", 10, 600_000),
        ("bytes=-1", 599_999, 600_000),
        ("bytes=-700000", 0, 600_000),
        ("bytes=262143-262144", 262_143, 262_145),
        ("bytes=599990-999999", 599_990, 600_000),
        ("bytes=5-9,6-20", 5, 21),
    ] {
        let answer = download(server, &meta, &[("range", range)]).await;
        assert_eq!(answer.status, 206, "{range}");
        assert!(answer.body == bytes[start..end], "{range}");
        let content_range = format!("bytes {start}-{}/600000", end - 1);
        assert_eq!(answer.header("content-range"), content_range);
        assert_eq!(answer.header("content-type"), "image/png");
    }

    let answer = download(server, &meta, &[("range", "bytes=0-1, 300000-599998 ,-1")]).await;
    assert_eq!(answer.status, 206);
    let boundary = answer.header("content-type");
    let boundary = boundary
        .strip_prefix("multipart/byteranges; boundary=")
        .unwrap()
        .to_owned();
    let mut expected = Vec::new();
    for (start, end) in [(0, 2), (300_000, 600_000)] {
        let last = end - 1;
        let head = format!(
            "\r\n--{boundary}\r\nContent-Type: image/png\r\n\
             Content-Range: bytes {start}-{last}/600000\r\n\r\n"
        );
        expected.extend_from_slice(head.as_bytes());
        expected.extend_from_slice(&bytes[start..end]);
    }
    expected.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
    assert!(answer.body == expected);

    for ignored in ["lines=0-1", "bytes=9-5", "bytes=x"] {
        let answer = download(server, &meta, &[("range", ignored)]).await;
        assert_eq!(answer.status, 200, "{ignored}");
        assert!(answer.body == bytes);
    }
}

async fn ranges_that_cannot_be_sent_are_told(server: &Server) {
    let meta = upload_as(server, "a.bin", "text/plain", random(100)).await;
    for range in ["bytes=100-", "bytes=200-300, 400-500", "bytes=-0"] {
        let answer = download(server, &meta, &[("range", range)]).await;
        answer.problem(416, "range-not-satisfiable");
        assert_eq!(answer.header("content-range"), "bytes */100", "{range}");
    }
    let empty = upload_as(server, "empty", "text/plain", Vec::new()).await;
    // Clients that always ask for a range would save the problem as the file.
    for range in ["bytes=0-", "bytes=0-0", "bytes=-5", "Bytes=1-"] {
        let answer = download(server, &empty, &[("range", range)]).await;
        assert_eq!(
            (answer.status.as_u16(), answer.body.len()),
            (200, 0),
            "{range}"
        );
    }
}

async fn conditions_are_honoured(server: &Server) {
    let meta = upload_as(server, "a.bin", "text/plain", random(100)).await;
    let whole = download(server, &meta, &[]).await;
    let (tag, date) = (whole.header("etag"), whole.header("last-modified"));
    for (fields, status) in [
        (vec![("if-none-match", tag)], 304),
        (vec![("if-none-match", "\"x\", *")], 200),
        (vec![("if-none-match", "*")], 304),
        (vec![("if-modified-since", date)], 304),
        (
            vec![("if-modified-since", "Tue, 14 Nov 2000 22:13:20 GMT")],
            200,
        ),
        (
            vec![("if-none-match", "\"x\""), ("if-modified-since", date)],
            200,
        ),
        (vec![("if-match", tag)], 200),
        (vec![("if-match", "\"x\"")], 412),
        (
            vec![("if-unmodified-since", "Tue, 14 Nov 2000 22:13:20 GMT")],
            412,
        ),
        (vec![("if-none-match", tag), ("range", "bytes=0-1")], 304),
    ] {
        let answer = download(server, &meta, &fields).await;
        assert_eq!(answer.status, status, "{fields:?}");
        if status == 304 {
            assert!(answer.body.is_empty());
            assert_eq!(answer.header("etag"), tag);
            assert_eq!(answer.header("cache-control"), "private, no-cache");
        }
    }
    let client = server.client();
    let head = client.request(Method::HEAD, &meta.location.to_string());
    assert_eq!(
        client.send(head.header("if-none-match", tag)).await.status,
        304
    );
    let head = client.request(Method::HEAD, &meta.location.to_string());
    assert_eq!(
        client.send(head.header("if-match", "\"x\"")).await.status,
        412
    );
}

async fn a_range_is_sent_only_of_the_right_file(server: &Server) {
    let meta = upload_as(server, "a.bin", "text/plain", random(100)).await;
    let whole = download(server, &meta, &[]).await;
    let (tag, date) = (whole.header("etag"), whole.header("last-modified"));
    let weak = format!("W/{tag}");
    for (value, status) in [
        (tag, 206),
        (date, 206),
        (weak.as_str(), 200),
        ("\"x\"", 200),
        ("Tue, 14 Nov 2000 22:13:20 GMT", 200),
    ] {
        let fields = [("range", "bytes=0-1"), ("if-range", value)];
        let answer = download(server, &meta, &fields).await;
        assert_eq!(answer.status, status, "{value}");
    }
}

async fn what_is_told_about_a_file_can_be_cached(server: &Server) {
    let client = server.client();
    let meta = upload_as(server, "a.bin", "text/plain", random(100)).await;
    let path = format!("/files/{}", meta.file_sha1);
    let told = client.get(&path).await;
    let tag = told.header("etag");
    for method in [Method::GET, Method::HEAD] {
        let with = |name: &'static str, value: &str| {
            client.send(
                client
                    .request(method.clone(), &path)
                    .header(name, value.to_owned()),
            )
        };
        assert_eq!(with("if-none-match", tag).await.status, 304);
        assert_eq!(with("if-match", "\"x\"").await.status, 412);
    }
    let renamed = client
        .patch(&meta.file_sha1, &serde_json::json!({"file_name": "b"}))
        .await;
    assert_ne!(renamed.header("etag"), tag);
    let request = client
        .request(Method::GET, &path)
        .header("if-none-match", tag);
    assert_eq!(client.send(request).await.status, 200);
}

async fn a_download_goes_on_when_the_file_is_deleted(server: &Server) {
    let client = server.client();
    let bytes = random(8_000_000);
    let meta = upload_as(server, "a.bin", "text/plain", bytes.clone()).await;
    let request = client.request(Method::GET, &meta.location.to_string());
    let mut response = request.send().await.unwrap();
    let mut received = response.chunk().await.unwrap().unwrap().to_vec();
    assert_eq!(client.delete(&meta.file_sha1).await.status, 204);
    while let Some(chunk) = response.chunk().await.unwrap() {
        received.extend_from_slice(&chunk);
    }
    assert!(received == bytes);
}
