//! Handing the files of one owner over to another.

use domain::Sha1;
use harness::{Client, Server, on_every_database};
use reqwest::StatusCode;
use serde_json::json;

use crate::linking::share;

on_every_database! {
    with &[("FILESERVER_AUTH", "token")];
    files_from_before_authentication_are_handed_over,
}

fn adopt(server: &Server, arguments: &[&str]) -> String {
    let output = server.command(&[&["adopt"], arguments].concat());
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{said}");
    said
}

/// Waits until an owner has a file, or has none; a replica or a cache may be behind.
async fn until(client: &Client, sha1: &Sha1, status: StatusCode) {
    for _ in 0..200 {
        if client.get(&format!("/files/{sha1}")).await.status == status {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("{sha1} is not {status}");
}

async fn files_from_before_authentication_are_handed_over(server: &Server) {
    let (anonymous, alice) = (server.client_of("anonymous"), server.client_of("alice"));
    let (shared, shared_bytes) = anonymous.upload_some("shared.txt").await;
    let link = anonymous.send(share(&anonymous, &shared.to_string())).await;
    let link = link.json()["url"].as_str().unwrap().to_owned();
    let (deleted, _) = anonymous.upload_some("deleted.txt").await;
    assert_eq!(anonymous.delete(&deleted).await.status, 204);
    let (of_both, bytes) = anonymous.upload_some("of both.txt").await;
    assert_eq!(alice.upload("mine.txt", bytes).await.status, 201);
    assert_eq!(anonymous.get(&format!("/files/{shared}")).await.status, 200);

    let would = "2 files of `anonymous` would go to `alice`\n\
                 1 files stay: `alice` has their contents already\n";
    assert_eq!(adopt(server, &["alice", "--dry-run"]), would);
    assert_eq!(anonymous.get(&format!("/files/{shared}")).await.status, 200);

    assert_eq!(adopt(server, &["alice"]), would.replace("would go", "went"));
    until(&alice, &shared, StatusCode::OK).await;
    until(&anonymous, &shared, StatusCode::NOT_FOUND).await;
    let content = alice.get(&format!("/files/{shared}/content")).await;
    assert_eq!(content.body, shared_bytes);
    assert_eq!(server.client().get(&link).await.body, shared_bytes);
    let restored = alice.patch(&deleted, &json!({"status": "available"})).await;
    assert_eq!(restored.status, 200);
    let names = alice.list_all("").await;
    let mut names: Vec<_> = names.iter().map(|file| file.file_name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["deleted.txt", "mine.txt", "shared.txt"]);
    until(&anonymous, &of_both, StatusCode::OK).await;

    // Nothing is left to do, and the counts of both owners are right.
    let none = adopt(server, &["alice"]);
    assert!(none.starts_with("0 files of `anonymous` went"), "{none}");
    let recounted = server.command(&["quota", "recount"]);
    assert!(recounted.status.success() && recounted.stdout.is_empty());
    let itself = server.command(&["adopt", "alice", "--from", "alice"]);
    assert_eq!(itself.status.code(), Some(2));
}
