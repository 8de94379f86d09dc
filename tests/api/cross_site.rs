//! What pages of other sites, other callers and other hosts can do.

use harness::{Browser, Kind, Server, unique_text};
use reqwest::Method;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

/// A picture of one point.
const PIXEL: &[u8] = b"GIF89a\x01\0\x01\0\x80\0\0\0\0\0\xff\xff\xff!\xf9\x04\x01\0\0\0\0,\0\0\0\0\x01\0\x01\0\0\x02\x01D\0;";

/// A function of a page that tells whether it can show a picture.
const LOOK: &str = "(url => new Promise(done => {
    const image = new Image();
    image.onload = () => done('seen');
    image.onerror = () => done('unseen');
    image.src = url;
}))";

#[tokio::test]
async fn without_credentials_only_names_of_this_machine_are_answered() {
    let server = Server::alone(Kind::Sqlite, &[]).await;
    let client = server.client();
    client.upload("a.txt", unique_text()).await;
    let of = |host: &str, path: &str| {
        let request = client.request(Method::GET, path);
        client.send(request.header("host", host.to_owned()))
    };
    for host in ["localhost:1", "127.0.0.1", "[::1]:8080", "files.localhost"] {
        assert_eq!(of(host, "/files").await.status, 200, "{host}");
    }
    for host in ["evil.example", "192.168.0.7:8080", "localhost.evil.example"] {
        of(host, "/files").await.problem(403, "foreign-site");
        // Probes come by the address of a pod.
        assert_eq!(of(host, "/healthz").await.status, 200, "{host}");
    }
    server.finish().await;

    let public = ("FILESERVER_PUBLIC_URL", "https://files.example.org");
    let server = Server::alone(Kind::Sqlite, &[public]).await;
    let client = server.client();
    let request = client.request(Method::GET, "/files");
    let answer = client
        .send(request.header("host", "files.example.org"))
        .await;
    assert_eq!(answer.status, 200);
    server.finish().await;

    // Credentials are what a page of another site does not have.
    let server = Server::alone(Kind::Sqlite, &[("FILESERVER_AUTH", "token")]).await;
    let client = server.client_of("alice");
    let request = client
        .request(Method::GET, "/files")
        .header("host", "evil.example");
    assert_eq!(client.send(request).await.status, 200);
    server.finish().await;
}

#[tokio::test]
async fn without_credentials_pages_of_other_sites_are_refused() {
    let origins = ("FILESERVER_CORS_ORIGINS", "http://localhost:3000");
    let server = Server::alone(Kind::Sqlite, &[origins]).await;
    let client = server.client();
    let stored = client.upload("a.txt", unique_text()).await.meta();
    let ask = |method: Method, path: &str, fields: &[(&str, &str)]| {
        let mut request = client.request(method, path);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        client.send(request)
    };
    let content = stored.location.to_string();
    let cross = ("sec-fetch-site", "cross-site");
    let upload = "/files?file_name=a.txt";
    for (method, path, fields) in [
        (
            Method::POST,
            upload,
            &[cross, ("origin", "https://evil.example")][..],
        ),
        (Method::POST, upload, &[("origin", "https://evil.example")]),
        (Method::POST, upload, &[("origin", "null")]),
        (
            Method::POST,
            upload,
            &[cross, ("sec-fetch-mode", "navigate")],
        ),
        (
            Method::GET,
            &content,
            &[cross, ("sec-fetch-mode", "no-cors")],
        ),
        (Method::GET, &content, &[("sec-fetch-site", "same-site")]),
        (
            Method::GET,
            "/files",
            &[("origin", "http://localhost:3001")],
        ),
    ] {
        let answer = ask(method, path, fields).await;
        answer.problem(403, "foreign-site");
    }
    for (method, path, fields) in [
        (
            Method::GET,
            &*content,
            &[cross, ("sec-fetch-mode", "navigate")][..],
        ),
        (
            Method::GET,
            "/files",
            &[
                ("origin", "http://localhost:3000"),
                ("sec-fetch-site", "same-site"),
            ],
        ),
        (Method::GET, "/files", &[("sec-fetch-site", "same-origin")]),
        (Method::GET, "/files", &[("sec-fetch-site", "none")]),
    ] {
        let answer = ask(method, path, fields).await;
        assert_eq!(answer.status, 200, "{fields:?}");
        assert_eq!(answer.header("cross-origin-resource-policy"), "same-origin");
    }
    assert_eq!(client.list_all("").await.len(), 1);
    server.finish().await;
}

#[tokio::test]
async fn a_page_of_another_site_neither_stores_nor_sees_anything() {
    let server = Server::alone(Kind::Sqlite, &[]).await;
    let client = server.client();
    let upload = client.request(Method::POST, "/files?file_name=pixel.gif");
    let upload = upload.header("content-type", "image/gif").body(PIXEL);
    let stored = client.send(upload).await.meta();
    let picture = format!("{}?disposition=inline", stored.location);
    let page = format!(
        "<p id=message></p><script>
        const form = new FormData();
        form.append('file', new Blob(['x']), 'x.txt');
        const image = {LOOK}('{0}');
        const sent = fetch('{1}', {{method: 'POST', body: form, mode: 'no-cors'}});
        Promise.allSettled([image, sent]).then(([image]) => message.innerHTML =
            '<a>' + image.value + '</a>');
        </script>",
        client.url(&picture),
        client.url("/files"),
    );
    let browser = Browser::start().await;
    browser.open(&serve(page).await).await;
    assert_eq!(browser.text("#message a").await, "unseen");
    // A page of the service sees it.
    browser.open(&client.url("/swagger-ui/")).await;
    let seen = browser
        .run(&format!("return await {LOOK}('{picture}')"))
        .await;
    assert_eq!(seen, "seen");
    assert_eq!(client.list_all("").await.len(), 1);
    browser.close().await;
    server.finish().await;
}

#[tokio::test]
async fn a_browser_keeps_no_file_for_the_next_caller() {
    let server = Server::alone(Kind::Sqlite, &[("FILESERVER_AUTH", "token")]).await;
    let token = server.token("alice", "files:read,files:write");
    let alice = server.client().with_token(&token);
    let text = unique_text();
    let answer = alice.upload_raw("old.txt", text.clone().into_bytes()).await;
    let sha1 = answer.meta().file_sha1;
    let browser = Browser::start().await;
    browser.open(&server.client().url("/swagger-ui/")).await;
    let content = format!("/files/{sha1}/content");
    let ask = async |token: &str| {
        let script = format!(
            "const answer = await fetch('{content}', {{headers: {{Authorization: 'Bearer {token}'}}}});
             return answer.status + ' ' + answer.headers.get('content-disposition');"
        );
        browser.run(&script).await
    };
    assert!(ask(&token).await.starts_with("200 "));
    let bob = server.token("bob", "files:read");
    assert!(ask(&bob).await.starts_with("404"));
    assert!(ask("wrong").await.starts_with("401"));
    assert_eq!(
        alice
            .patch(&sha1, &json!({"file_name": "new.txt"}))
            .await
            .status,
        200
    );
    assert!(ask(&token).await.contains("new.txt"));
    assert_eq!(alice.delete(&sha1).await.status, 204);
    assert!(ask(&token).await.starts_with("404"));
    browser.close().await;
    server.finish().await;
}

#[tokio::test]
async fn what_never_changes_has_a_tag() {
    let server = Server::alone(Kind::Sqlite, &[]).await;
    let client = server.client();
    for path in [
        "/openapi.json",
        "/openapi.yaml",
        "/swagger-ui/",
        "/swagger-ui/swagger-ui.css",
        "/swagger-ui/swagger-initializer.js",
    ] {
        let ask = |method: Method, tag: &str| {
            let request = client.request(method, path);
            request.header("if-none-match", tag.to_owned()).send()
        };
        let first = ask(Method::GET, "\"x\"").await.unwrap();
        assert_eq!(first.status(), 200, "{path}");
        assert_eq!(first.headers()["cache-control"], "no-cache", "{path}");
        let tag = first.headers()["etag"].to_str().unwrap().to_owned();
        let again = ask(Method::GET, &tag).await.unwrap();
        assert_eq!(again.status(), 304, "{path}");
        assert_eq!(again.headers()["etag"], *tag);
        if path.starts_with("/openapi") {
            let known = client
                .request(Method::GET, path)
                .header("if-none-match", &tag);
            assert_eq!(client.send(known).await.status, 304, "{path}");
        }
        let head = ask(Method::HEAD, "\"x\"").await.unwrap();
        assert_eq!(head.status(), 200, "HEAD {path}");
        assert_eq!(head.headers()["etag"], *tag);
    }
    let page = client
        .request(Method::GET, "/swagger-ui/")
        .send()
        .await
        .unwrap();
    let policy = page.headers()["content-security-policy"].to_str().unwrap();
    assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"));
    assert_eq!(page.headers()["x-frame-options"], "DENY");
    let missing = client.request(Method::GET, "/swagger-ui/nothing").send();
    assert_eq!(missing.await.unwrap().status(), 404);
    server.finish().await;
}

/// Serves a page, and returns its URL, which is another site than the service's.
async fn serve(page: String) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = [0; 4096];
            let _ = stream.read(&mut request).await;
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {}\r\n\
                 Connection: close\r\n\r\n{page}",
                page.len()
            );
            // A browser may open connections that it does not use.
            let _ = stream.write_all(head.as_bytes()).await;
        }
    });
    // Another site than that of 127.0.0.1.
    format!("http://localhost:{port}/")
}
