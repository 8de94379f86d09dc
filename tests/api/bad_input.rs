//! Invalid input gets the right answer, and nothing is stored.

use harness::{Answer, Server, on_every_database, unique_text};
use reqwest::{
    Method,
    multipart::{Form, Part},
};

on_every_database! {
    a_sha1_that_is_none_is_refused,
    file_names_that_no_file_can_have_are_refused,
    forms_that_cannot_be_read_are_refused,
    bodies_that_do_not_come_whole_are_refused,
    digest_fields_that_cannot_be_read_are_refused,
    parameters_that_cannot_be_used_are_refused,
    patches_that_cannot_be_made_are_refused,
    methods_that_are_not_there_are_told,
    media_types_that_are_not_taken_are_told,
    answers_that_are_not_wanted_are_not_given,
}

/// Asserts that a refused request left nothing.
async fn nothing_is_stored(server: &Server) {
    assert!(server.objects().is_empty());
    assert!(server.client().list_all("").await.is_empty());
}

async fn a_sha1_that_is_none_is_refused(server: &Server) {
    // A proxy refuses some of these itself.
    let client = server.first().await;
    let longer = "a".repeat(41);
    for sha1 in [
        "a",
        &longer,
        &"g".repeat(40),
        "%00",
        "..%2f..%2fetc%2fpasswd",
        "%FF",
    ] {
        for (method, path) in [
            (Method::GET, format!("/files/{sha1}")),
            (Method::HEAD, format!("/files/{sha1}")),
            (Method::GET, format!("/files/{sha1}/content")),
            (Method::PUT, format!("/files/{sha1}?file_name=a")),
            (Method::PATCH, format!("/files/{sha1}")),
            (Method::DELETE, format!("/files/{sha1}")),
        ] {
            let answer = client.send(client.request(method.clone(), &path)).await;
            if method == Method::HEAD {
                assert_eq!(answer.status, 400, "{path}");
            } else {
                answer.problem(400, "invalid-sha1");
                let source = &answer.json()["source"];
                assert_eq!(
                    *source,
                    serde_json::json!({"in": "path", "name": "file_sha1"})
                );
            }
        }
    }
    nothing_is_stored(server).await;
}

async fn file_names_that_no_file_can_have_are_refused(server: &Server) {
    let client = server.client();
    let too_long = "x".repeat(256);
    for name in [
        "",
        ".",
        "..",
        "a/b",
        r"a\b",
        "a\0b",
        "a\r\nSet-Cookie: x",
        "\u{7f}",
        &too_long,
    ] {
        client
            .upload_raw(name, "x")
            .await
            .problem(400, "invalid-file-name");
        let form = Form::new()
            .part("file", Part::bytes(b"x".as_slice()))
            .part("file_name", Part::bytes(name.as_bytes().to_vec()));
        let request = client.request(Method::POST, "/files").multipart(form);
        client.send(request).await.problem(400, "invalid-file-name");
    }
    for disposition in [
        b"attachment; filename=\"\xff\"".as_slice(),
        b"attachment; filename=\"a/b\"",
        b"attachment; filename=\"C:\\a\"",
        b"attachment; filename*=UTF-8''a%0D%0Ab",
        b"attachment; filename*=UTF-8''%FF",
        b"attachment",
    ] {
        let request = client.request(Method::POST, "/files").body("x");
        let answer = client
            .send(request.header("content-disposition", disposition))
            .await;
        answer.problem(400, "invalid-file-name");
    }
    client
        .send(client.request(Method::POST, "/files").body("x"))
        .await
        .problem(400, "invalid-file-name");
    let bytes_that_are_no_text = Form::new()
        .part("file", Part::bytes(b"x".as_slice()).file_name("a"))
        .part("file_name", Part::bytes(b"\xff".as_slice()));
    let request = client
        .request(Method::POST, "/files")
        .multipart(bytes_that_are_no_text);
    client.send(request).await.problem(400, "invalid-file-name");
    let not_utf8 = client
        .request(Method::POST, "/files?file_name=%FF")
        .body("x");
    client.send(not_utf8).await.problem(400, "invalid-query");
    let twice = client.request(Method::POST, "/files?file_name=a").body("x");
    let twice = twice.header("content-disposition", "attachment; filename=b");
    client.send(twice).await.problem(400, "invalid-file-name");
    nothing_is_stored(server).await;
}

async fn forms_that_cannot_be_read_are_refused(server: &Server) {
    let client = server.client();
    let form = |body: &str| {
        let request = client.request(Method::POST, "/files");
        let request = request.header("content-type", "multipart/form-data; boundary=b");
        client.send(request.body(body.replace('\n', "\r\n")))
    };
    let file = "--b\nContent-Disposition: form-data; name=\"file\"; filename=\"a\"\n\nx\n";
    for (body, word) in [
        ("--b--\n".to_owned(), "file"),
        (String::new(), "boundary"),
        ("no form at all".to_owned(), "boundary"),
        (format!("{file}{file}--b--\n"), "two"),
        (
            file.replace("\"file\"", "\"upload\"") + "--b--\n",
            "only the parts",
        ),
        (file.replace("name=\"file\"; ", "") + "--b--\n", "name"),
        (
            file.replace("Content-Disposition", "Content-Position") + "--b--\n",
            "Content-Disposition",
        ),
        (file.to_owned(), "boundary"),
        (file.trim_end().to_owned(), "boundary"),
        (
            "--b\nContent-Disposition: form-data; na".to_owned(),
            "boundary",
        ),
        (format!("--b\n{}\n\nx\n--b--\n", "x".repeat(70_000)), "form"),
    ] {
        let detail = form(&body).await.problem(400, "invalid-body");
        assert!(detail.contains(word), "{detail} should speak of {word}");
    }
    let names = "--b\nContent-Disposition: form-data; name=\"file_name\"\n\na\n".repeat(2);
    form(&format!("{names}{file}--b--\n"))
        .await
        .problem(400, "invalid-file-name");
    let unnamed = file.replace("; filename=\"a\"", "");
    form(&format!("{unnamed}--b--\n"))
        .await
        .problem(400, "invalid-file-name");

    for content_type in ["multipart/form-data", "multipart/form-data; boundary="] {
        let request = client.request(Method::POST, "/files").body("x");
        let answer = client
            .send(request.header("content-type", content_type))
            .await;
        answer.problem(400, "invalid-body");
    }
    nothing_is_stored(server).await;
}

async fn bodies_that_do_not_come_whole_are_refused(server: &Server) {
    let head = "POST /files?file_name=a HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n";
    for body in [
        "Content-Length: 100\r\n\r\ntoo short",
        "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nnonsense\r\n",
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\nhello",
        "Content-Length: -1\r\n\r\nhello",
        "Content-Length: 18446744073709551616\r\n\r\nhello",
    ] {
        let answer = server.raw(format!("{head}{body}").as_bytes()).await;
        let refused = answer.is_empty() || answer.starts_with("HTTP/1.1 400");
        assert!(refused, "{body}: {answer}");
    }
    let form = "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a\"\r\n\r\n\
        x\r\n--b--\r\n";
    let head_of_form = "POST /files HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
        Content-Type: multipart/form-data; boundary=b\r\n";
    for framing in [
        "Content-Length: 1000\r\n\r\n".to_owned() + form,
        format!(
            "Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{form}\r\n",
            form.len()
        ),
    ] {
        let answer = server
            .raw(format!("{head_of_form}{framing}").as_bytes())
            .await;
        let refused = answer.is_empty() || answer.starts_with("HTTP/1.1 400");
        assert!(refused, "{framing}: {answer}");
    }
    nothing_is_stored(server).await;
    assert!(server.staged().is_empty(), "nothing is left of it");

    // The bytes after the announced length are another request, and an invalid one.
    let answer = server
        .raw(format!("{head}Content-Length: 1\r\n\r\nxyz").as_bytes())
        .await;
    assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
    let meta = &server.client().list_all("").await[0];
    assert_eq!(meta.file_size, 1);
}

async fn digest_fields_that_cannot_be_read_are_refused(server: &Server) {
    let client = server.client();
    let right = "sha=:Kq5sNclPz7QV2+lfQIuc6R7oRu0=:";
    for field in ["repr-digest", "content-digest"] {
        for value in [
            "sha",
            "sha=Kq5sNclPz7QV2+lfQIuc6R7oRu0=",
            "sha=:AAAA:",
            "sha-256=:Kq5sNclPz7QV2+lfQIuc6R7oRu0=:",
            "2aae6c35c94fcfb415dbe95f408b9ce91ee846ed",
            &format!("{right}, {right}"),
        ] {
            let request = client
                .request(Method::POST, "/files?file_name=a")
                .body("hello world");
            let answer = client.send(request.header(field, value)).await;
            answer.problem(400, "invalid-header");
            assert_eq!(answer.json()["source"]["name"], field, "{value}");
        }
    }
    let request = client
        .request(Method::POST, "/files?file_name=a")
        .body("hello world");
    let contradicting = request
        .header("repr-digest", right)
        .header("content-digest", "sha=:AAAAAAAAAAAAAAAAAAAAAAAAAAA=:");
    client
        .send(contradicting)
        .await
        .problem(400, "invalid-header");
    nothing_is_stored(server).await;
}

async fn parameters_that_cannot_be_used_are_refused(server: &Server) {
    let client = server.client();
    let get = async |path: &str| client.get(path).await;
    let refused = |answer: Answer, name: &str| {
        answer.problem(400, "invalid-query");
        let source = serde_json::json!({"in": "query", "name": name});
        assert_eq!(answer.json()["source"], source);
    };
    for limit in ["0", "-1", "1001", "abc", "", "1.5", "18446744073709551616"] {
        refused(get(&format!("/files?limit={limit}")).await, "limit");
    }
    refused(get("/files?limit=1&limit=2").await, "limit");
    refused(get("/files?status=purging").await, "status");
    refused(get("/files?name=a%00b").await, "name");
    refused(get("/files?name=%0A").await, "name");
    refused(get("/files?file_sha1=abc").await, "file_sha1");
    refused(
        get(&format!("/files?name={}", "x".repeat(256))).await,
        "name",
    );
    let unknown = "0".repeat(40);
    for path in [
        "/files".to_owned(),
        format!("/files/{unknown}"),
        format!("/files/{unknown}/content"),
        "/healthz".to_owned(),
        "/readyz".to_owned(),
        "/metrics".to_owned(),
        "/openapi.json".to_owned(),
        "/openapi.yaml".to_owned(),
    ] {
        refused(get(&format!("{path}?limits=1")).await, "limits");
    }
    refused(
        get(&format!("/files/{unknown}/content?disposition=x")).await,
        "disposition",
    );
    let upload = client.request(Method::POST, "/files?name=a").body("x");
    refused(client.send(upload).await, "name");
    let delete = client.request(Method::DELETE, &format!("/files/{unknown}?purge=yes"));
    refused(client.send(delete).await, "purge");
    nothing_is_stored(server).await;
}

async fn patches_that_cannot_be_made_are_refused(server: &Server) {
    let client = server.client();
    let (sha1, _) = client.upload_some("a.txt").await;
    let patch = |body: String| {
        let request = client.request(Method::PATCH, &format!("/files/{sha1}"));
        client.send(
            request
                .header("content-type", "application/json")
                .body(body),
        )
    };
    for (body, name) in [
        ("", None),
        ("{", None),
        ("[]", None),
        ("\"a\"", None),
        ("{\"file_name\": \"a\"} {}", None),
        ("{\"file_name\": 5}", Some("file_name")),
        ("{\"file_name\": null}", Some("file_name")),
        ("{\"status\": \"gone\"}", Some("status")),
        ("{\"status\": null}", Some("status")),
        ("{\"file_size\": 5}", Some("file_size")),
        ("{\"owner\": \"me\"}", Some("owner")),
    ] {
        let answer = patch(body.to_owned()).await;
        answer.problem(400, "invalid-body");
        assert_eq!(answer.json()["source"]["name"].as_str(), name, "{body}");
    }
    for name in ["", "..", "a/b", "a\\u0000b"] {
        let answer = patch(format!("{{\"file_name\": \"{name}\"}}")).await;
        answer.problem(400, "invalid-file-name");
    }
    patch(format!("{{\"file_name\": \"{}\"}}", "x".repeat(20_000)))
        .await
        .problem(413, "too-large");
    let meta = client.get(&format!("/files/{sha1}")).await.meta();
    assert_eq!(meta.file_name.as_str(), "a.txt");
}

async fn methods_that_are_not_there_are_told(server: &Server) {
    let client = server.client();
    let unknown = "0".repeat(40);
    for (method, path, allow) in [
        (
            Method::DELETE,
            "/files".to_owned(),
            "GET, HEAD, POST, OPTIONS",
        ),
        (
            Method::POST,
            format!("/files/{unknown}"),
            "GET, HEAD, PUT, PATCH, DELETE, OPTIONS",
        ),
        (
            Method::PUT,
            format!("/files/{unknown}/content"),
            "GET, HEAD",
        ),
        (Method::OPTIONS, "/healthz".to_owned(), "GET, HEAD"),
    ] {
        let answer = client.send(client.request(method, &path)).await;
        answer.problem(405, "method-not-allowed");
        assert_eq!(answer.header("allow"), allow);
    }
    for path in ["/", "/file", "/files/", "/files/a/b/c"] {
        client.get(path).await.problem(404, "no-such-resource");
    }
}

async fn media_types_that_are_not_taken_are_told(server: &Server) {
    let client = server.client();
    for media_type in [
        "multipart/mixed; boundary=b",
        "application/x-www-form-urlencoded",
        "nonsense",
        "text/",
    ] {
        let request = client.request(Method::POST, "/files?file_name=a").body("x");
        let answer = client
            .send(request.header("content-type", media_type))
            .await;
        answer.problem(415, "unsupported-media-type");
        assert_eq!(
            answer.json()["source"]["name"],
            "content-type",
            "{media_type}"
        );
    }
    let encoded = client.request(Method::POST, "/files?file_name=a").body("x");
    let encoded = client
        .send(encoded.header("content-encoding", "gzip"))
        .await;
    encoded.problem(415, "unsupported-media-type");
    assert_eq!(encoded.json()["source"]["name"], "content-encoding");

    let unknown = "0".repeat(40);
    for media_type in [
        None,
        Some("text/plain"),
        Some("application/json-patch+json"),
    ] {
        let mut request = client
            .request(Method::PATCH, &format!("/files/{unknown}"))
            .body("{}");
        if let Some(media_type) = media_type {
            request = request.header("content-type", media_type);
        }
        let answer = client.send(request).await;
        answer.problem(415, "unsupported-media-type");
        let taken = "application/merge-patch+json, application/json";
        assert_eq!(answer.header("accept-patch"), taken);
    }
    nothing_is_stored(server).await;
}

async fn answers_that_are_not_wanted_are_not_given(server: &Server) {
    let client = server.client();
    let upload = |accept: &str| {
        let request = client
            .request(Method::POST, "/files?file_name=a")
            .body(unique_text());
        client.send(request.header("accept", accept.to_owned()))
    };
    for accept in [
        "text/html",
        "image/*",
        "application/json;q=0",
        "application/xml, text/*",
    ] {
        upload(accept).await.problem(406, "not-acceptable");
    }
    nothing_is_stored(server).await;
    for accept in [
        "*/*",
        "application/*",
        "application/json",
        "text/html, */*;q=0.1",
    ] {
        assert_eq!(upload(accept).await.status, 201, "{accept}");
    }
    let sha1 = client.list_all("").await[0].file_sha1;
    for (method, path) in [
        (Method::GET, "/files".to_owned()),
        (Method::GET, format!("/files/{sha1}")),
        (Method::PUT, format!("/files/{sha1}?file_name=a")),
        (Method::PATCH, format!("/files/{sha1}")),
    ] {
        let request = client.request(method, &path).header("accept", "text/html");
        client.send(request).await.problem(406, "not-acceptable");
    }
    let content = client.request(Method::GET, &format!("/files/{sha1}/content"));
    let content = client.send(content.header("accept", "image/png")).await;
    assert_eq!(content.status, 200, "a file is what it is");
}
