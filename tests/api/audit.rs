//! The audit log: who did what to which file, from where, with which result.

use harness::{Kind, Server, eventually};
use reqwest::Method;
use serde_json::Value;

use crate::linking::share;

fn lines(server: &Server) -> Vec<Value> {
    let log = server.log();
    let lines = log.lines().map(|line| serde_json::from_str(line).unwrap());
    let audited = lines.filter(|line: &Value| line["target"] == "audit");
    audited.collect()
}

#[tokio::test]
async fn what_was_done_to_a_file_is_told_without_any_secret() {
    let settings = [
        ("FILESERVER_AUTH", "token"),
        ("FILESERVER_TRUSTED_PROXIES", "127.0.0.1"),
    ];
    let server = Server::alone(Kind::Sqlite, &settings).await;
    let token = server.token("alice", "files:read,files:write");
    let alice = server.client().with_token(&token);
    let (sha1, _) = alice.upload_some("a.txt").await;
    let made = alice.send(share(&alice, &sha1.to_string())).await.json();
    let url = made["url"].as_str().unwrap();
    let stranger = server.client();
    let by_link = stranger.request(Method::GET, url);
    let by_link = by_link.header("x-forwarded-for", "203.0.113.9, 198.51.100.7");
    assert_eq!(stranger.try_send(by_link).await.unwrap().status, 200);
    let by_spelling = format!("GET /%64/{} HTTP/1.1\r\nHost: localhost\r\n\r\n", &url[3..]);
    let told = server.raw(by_spelling.as_bytes()).await;
    assert!(told.starts_with("HTTP/1.1 200"), "{told}");
    for path in ["//d/", "/./d/", "/%2e/d/", "/D/", "/d%2F"] {
        let misspelt = format!(
            "GET {path}{} HTTP/1.1\r\nHost: localhost\r\n\r\n",
            &url[3..]
        );
        let told = server.raw(misspelt.as_bytes()).await;
        assert!(told.starts_with("HTTP/1.1 404"), "{told}");
    }
    let as_boss = alice
        .request(Method::GET, "/usage")
        .header("x-owner", "boss");
    alice.send(as_boss).await.problem(403, "insufficient-scope");
    assert_eq!(alice.delete(&sha1).await.status, 204);
    stranger
        .get(&format!("/files/{sha1}"))
        .await
        .problem(401, "missing-credentials");

    eventually(|| {
        let lines = lines(&server);
        let is_told = |operation: &str| lines.iter().any(|line| line["operation"] == operation);
        ["find_file", "read_usage", "remove_file"]
            .into_iter()
            .all(is_told)
    })
    .await;
    let lines = lines(&server);
    let of = |operation: &str| {
        let line = lines.iter().find(|line| line["operation"] == operation);
        line.unwrap_or_else(|| panic!("{operation} is not in the log"))
    };
    for (operation, status) in [
        ("upload_file", 201),
        ("share_file", 201),
        ("follow_link", 200),
        ("remove_file", 204),
    ] {
        let line = of(operation);
        assert_eq!(line["file_sha1"], sha1.to_string(), "{line}");
        assert_eq!(line["owner"], "alice", "{line}");
        assert_eq!(line["status"], status, "{line}");
        assert!(
            line["request_id"].is_string() && line["timestamp"].is_string(),
            "{line}"
        );
        let by_token = line["actor"]
            .as_str()
            .is_some_and(|actor| actor.starts_with("token:"));
        assert_eq!(by_token, operation != "follow_link", "{line}");
    }
    // The address that the trusted proxy saw, not the one that the client sent.
    assert_eq!(of("follow_link")["client"], "198.51.100.7");
    assert_eq!(of("upload_file")["client"], "127.0.0.1");
    let refused = of("find_file");
    assert_eq!(refused["status"], 401);
    assert!(
        refused["actor"].is_null() && refused["owner"].is_null(),
        "{refused}"
    );

    // The log names the owner who was refused, and the owner of the files.
    let boss = lines.iter().find(|line| line["owner"] == "boss").unwrap();
    assert_eq!(boss["status"], 403);
    assert!(boss["actor"].as_str().unwrap().starts_with("token:"));

    let log = server.log();
    for secret in [token.as_str(), &url[3..], &token[4..]] {
        assert!(!log.contains(secret), "a secret is in the log");
    }
    server.finish().await;
}
