//! Health, readiness, metrics, and the contract.

use harness::{Kind, Server, on_every_database};
use reqwest::Method;

on_every_database! {
    it_tells_that_it_is_well,
    every_request_has_an_id,
    numbers_are_counted,
}

async fn it_tells_that_it_is_well(server: &Server) {
    let client = server.client();
    for path in ["/healthz", "/readyz"] {
        assert_eq!(
            client.get(path).await.json(),
            serde_json::json!({"status": "ok"})
        );
        let head = client.send(client.request(Method::HEAD, path)).await;
        assert_eq!((head.status.as_u16(), head.body.len()), (200, 0));
    }
}

async fn every_request_has_an_id(server: &Server) {
    let client = server.client();
    let with = |id: &str| {
        client.send(
            client
                .request(Method::GET, "/nowhere")
                .header("x-request-id", id.to_owned()),
        )
    };
    assert_eq!(
        with("my-request:1/2").await.header("x-request-id"),
        "my-request:1/2"
    );
    for nonsense in ["", "a b", "\"quoted\"", &"x".repeat(129)] {
        let id = with(nonsense).await.header("x-request-id").to_owned();
        assert!(id.len() == 32 && id != nonsense, "{id}");
    }
    let (one, other) = (client.get("/healthz").await, client.get("/healthz").await);
    assert_ne!(one.header("x-request-id"), other.header("x-request-id"));
}

async fn numbers_are_counted(server: &Server) {
    let client = server.first().await;
    let (sha1, bytes) = client.upload_some("a.txt").await;
    client.get(&format!("/files/{sha1}/content")).await;
    client.get(&format!("/files/{}", "0".repeat(40))).await;
    let answer = client.get("/metrics").await;
    let media_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    assert_eq!(answer.header("content-type"), media_type);
    let numbers = answer.text();
    for line in [
        "fileserver_requests_total{operation=\"upload_file\",status=\"201\"} 1",
        "fileserver_requests_total{operation=\"download_file\",status=\"200\"} 1",
        "fileserver_requests_total{operation=\"find_file\",status=\"404\"} 1",
        "fileserver_request_duration_seconds_count{operation=\"upload_file\"} 1",
        "fileserver_requests_in_flight 1",
        &format!("fileserver_received_bytes_total {}", bytes.len()),
    ] {
        assert!(
            numbers.lines().any(|found| found == line),
            "{line} is not in {numbers}"
        );
    }
    assert!(numbers.ends_with("# EOF\n"));
}

#[tokio::test]
async fn pages_of_other_origins_may_use_it_if_they_are_allowed() {
    let origins = (
        "FILESERVER_CORS_ORIGINS",
        "https://a.example,https://b.example",
    );
    let server = Server::start(Kind::Sqlite, &[origins]).await;
    let client = server.client();
    let from = |origin: &str| {
        client
            .request(Method::GET, "/healthz")
            .header("origin", origin.to_owned())
    };
    for (origin, allowed) in [
        ("https://a.example", "https://a.example"),
        ("https://b.example", "https://b.example"),
        ("https://c.example", ""),
    ] {
        let answer = client.send(from(origin)).await;
        assert_eq!(answer.header("access-control-allow-origin"), allowed);
    }
    let preflight = client
        .request(Method::OPTIONS, "/files")
        .header("origin", "https://a.example")
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "repr-digest");
    let answer = preflight.send().await.unwrap();
    assert_eq!(answer.status(), 200);
    assert!(answer.headers().contains_key("x-request-id"));
    let allowed = answer.headers()["access-control-allow-headers"]
        .to_str()
        .unwrap();
    assert_eq!(allowed, "repr-digest");
    server.finish().await;

    let server = Server::start(Kind::Sqlite, &[]).await;
    let request = server.client().request(Method::GET, "/healthz");
    let answer = server
        .client()
        .send(request.header("origin", "https://a.example"))
        .await;
    assert_eq!(answer.header("access-control-allow-origin"), "");
    server.finish().await;
}

#[tokio::test]
async fn the_contract_and_its_page_are_given_out() {
    let server = Server::start(Kind::Sqlite, &[]).await;
    let client = server.client();
    let checked_in = concat!(env!("CARGO_MANIFEST_DIR"), "/../openapi.yaml");
    let checked_in = std::fs::read_to_string(checked_in).unwrap();
    assert_eq!(client.get("/openapi.yaml").await.text(), checked_in);
    assert_eq!(client.get("/openapi.json").await.json()["openapi"], "3.1.0");
    let http = harness::http().build().unwrap();
    let page = http.get(client.url("/swagger-ui")).send().await.unwrap();
    assert!(page.url().path().ends_with("/swagger-ui/"));
    assert!(page.text().await.unwrap().contains("swagger-ui-bundle.js"));
    server.finish().await;
}
