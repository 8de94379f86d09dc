//! Compression of what the service writes itself.

use harness::{Answer, Kind, Server, program, random};
use reqwest::Method;
use serde_json::json;

async fn get(server: &Server, path: &str, fields: &[(&str, &str)]) -> Answer {
    let client = server.client();
    if path.starts_with("/swagger-ui/") {
        // Pages are not in the contract.
        let mut request = harness::http().build().unwrap().get(client.url(path));
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let response = request.send().await.unwrap();
        return Answer {
            status: response.status(),
            headers: response.headers().clone(),
            body: response.bytes().await.unwrap(),
        };
    }
    let mut request = client.request(Method::GET, path);
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    client.send(request).await
}

#[tokio::test]
async fn listings_the_contract_and_pages_are_compressed_as_the_client_asks() {
    let server = Server::start(Kind::Sqlite, &[]).await;
    let client = server.client();
    for name in ["a", "b", "c", "d", "e", "f"] {
        client.upload_some(name).await;
    }
    for path in [
        "/files",
        "/openapi.json",
        "/openapi.yaml",
        "/swagger-ui/swagger-ui.css",
    ] {
        let plain = get(&server, path, &[]).await;
        assert_eq!(plain.header("content-encoding"), "");
        assert!(plain.header("vary").contains("Accept-Encoding"), "{path}");
        for coding in ["br", "zstd", "gzip"] {
            let coded = get(&server, path, &[("accept-encoding", coding)]).await;
            assert_eq!(coded.header("content-encoding"), coding, "{path}");
            assert!(coded.header("vary").contains("Accept-Encoding"), "{path}");
            assert!(coded.body.len() < plain.body.len() * 3 / 4, "{path}");
            let decoded = program("curl")
                .args(["--silent", "--compressed", "--header"])
                .arg(format!("Accept-Encoding: {coding}"))
                .arg(client.url(path))
                .output()
                .unwrap();
            assert!(decoded.stdout == plain.body, "{path} as {coding}");
        }
    }
    let small = get(&server, "/usage", &[("accept-encoding", "br")]).await;
    assert_eq!(small.header("content-encoding"), "");
    assert!(small.header("vary").contains("Accept-Encoding"));
    server.finish().await;
}

#[tokio::test]
async fn files_are_never_compressed() {
    let server = Server::start(Kind::Sqlite, &[]).await;
    let client = server.client();
    let text = "hello ".repeat(10_000);
    let request = client.request(Method::POST, "/files?file_name=a.json");
    let request = request.header("content-type", "application/json");
    let meta = client.send(request.body(text.clone())).await.meta();
    let content = format!("/files/{}/content", meta.file_sha1);
    let accept = ("accept-encoding", "br, zstd, gzip");
    let whole = get(&server, &content, &[accept]).await;
    assert_eq!(whole.header("content-encoding"), "");
    assert_eq!(whole.header("etag"), format!("\"{}\"", meta.file_sha1));
    assert!(whole.body == text);
    let part = get(&server, &content, &[accept, ("range", "bytes=0-9999")]).await;
    assert_eq!(part.status, 206);
    assert!(part.body == text[..10_000]);
    server.finish().await;
}

#[tokio::test]
async fn entity_tags_are_those_of_the_coding() {
    let server = Server::start(Kind::Sqlite, &[]).await;
    let client = server.client();
    let path = "/openapi.json";
    let plain = client.get(path).await.header("etag").to_owned();
    let accept = ("accept-encoding", "br");
    let compressed = get(&server, path, &[accept]).await;
    let compressed = compressed.header("etag").to_owned();
    assert_eq!(compressed, coded(&plain, "br"));
    for (tags, told) in [
        (compressed.clone(), &compressed),
        (plain.clone(), &plain),
        (format!("{plain}, {compressed}"), &compressed),
        (format!("W/{compressed}"), &compressed),
    ] {
        let known = get(&server, path, &[accept, ("if-none-match", &tags)]).await;
        assert_eq!(known.status, 304, "{tags}");
        assert_eq!(known.header("etag"), *told, "{tags}");
        assert!(known.header("vary").contains("Accept-Encoding"));
    }
    let other = [accept, ("if-none-match", "\"x-br\"")];
    assert_eq!(get(&server, path, &other).await.status, 200);

    // Metadata that was read compressed can be changed.
    let meta = client.upload_raw("a.bin", random(100)).await.meta();
    let file = format!("/files/{}", meta.file_sha1);
    let tag = client.get(&file).await.header("etag").to_owned();
    let tag = coded(&tag, "zstd");
    let rename = |tag: &str, name: &str| {
        let request = client.request(Method::PATCH, &file).header("if-match", tag);
        request
            .header("content-type", "application/json")
            .body(json!({ "file_name": name }).to_string())
    };
    let changed = client.send(rename(&tag, "b.bin")).await;
    assert_eq!(changed.status, 200);
    let refused = client.send(rename(&tag, "c.bin")).await;
    refused.problem(412, "precondition-failed");
    let tag = coded(changed.header("etag"), "gzip");
    let delete = client.request(Method::DELETE, &file);
    let deleted = client.send(delete.header("if-match", tag)).await;
    assert_eq!(deleted.status, 204);
    server.finish().await;
}

/// The tag of a compressed representation.
fn coded(tag: &str, coding: &str) -> String {
    format!("{}-{coding}\"", tag.strip_suffix('"').unwrap())
}
