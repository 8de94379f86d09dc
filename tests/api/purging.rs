//! Purging removes the contents that no entry refers to, and nothing else.

use std::time::Duration;

use domain::Sha1;
use futures_util::future::join_all;
use harness::{
    Client, Kind, Server, TusUpload, digests, eventually, on_every_database, random, unique_text,
};
use reqwest::{Method, StatusCode};
use serde_json::json;
use tokio::time::sleep;

use crate::claiming;

/// No grace, and a purge every second.
const AT_ONCE: &[(&str, &str)] = &[
    ("FILESERVER_AUTH", "token"),
    ("FILESERVER_PURGE_GRACE", "0"),
];

on_every_database! {
    with super::AT_ONCE;
    content_without_an_owner_is_purged,
    uploads_and_claims_win_against_the_purge,
    a_download_comes_to_its_end_while_its_file_is_purged,
}

async fn purge(client: &Client, sha1: &Sha1) -> StatusCode {
    let request = client.request(Method::DELETE, &format!("/files/{sha1}?purge=true"));
    client.send(request).await.status
}

fn rows(server: &Server, sha1: &Sha1) -> String {
    let shard = &sha1.to_string()[38..];
    let contents = format!("SELECT COUNT(*) FROM tbl_{shard} WHERE file_sha1 = '{sha1}'");
    let entries = format!("SELECT COUNT(*) FROM tbl_user_file WHERE file_sha1 = '{sha1}'");
    let [contents, entries] = [contents, entries].map(|sql| server.database().sql(&sql));
    format!("{} {}", contents.trim(), entries.trim())
}

async fn content_without_an_owner_is_purged(server: &Server) {
    let (alice, bob) = (server.client_of("alice"), server.client_of("bob"));
    let (sha1, bytes) = alice.upload_some("a.txt").await;
    bob.upload("b.txt", bytes.clone()).await;
    let (deleted, _) = alice.upload_some("deleted.txt").await;
    alice.delete(&deleted).await;
    assert_eq!(purge(&alice, &sha1).await, 204);
    eventually(|| rows(server, &sha1) == "1 1").await;
    assert_eq!(bob.get(&format!("/files/{sha1}/content")).await.body, bytes);
    assert_eq!(purge(&bob, &sha1).await, 204);
    eventually(|| rows(server, &sha1) == "0 0").await;
    eventually(|| server.objects().len() == 1).await;
    // Contents of files that can be restored stay.
    let restored = alice.patch(&deleted, &json!({"status": "available"})).await;
    assert_eq!(restored.status, 200);
    assert_eq!(alice.upload("a.txt", bytes.clone()).await.status, 201);
    assert_eq!(
        alice.get(&format!("/files/{sha1}/content")).await.body,
        bytes
    );
}

/// Claims a content, and returns whether the proof was accepted.
async fn claim(client: &Client, sha1: &Sha1, bytes: &[u8]) -> bool {
    let challenge = claiming::claim(client, sha1, bytes.len()).await.json();
    let proof = claiming::prove(&challenge, sha1, bytes);
    let proven = claiming::present(client, &challenge, &proof).await;
    proven.status.is_success()
}

/// Owners who upload, claim, read and give up the same few contents, round after round, while
/// every purge that finds one without an owner removes it.
async fn uploads_and_claims_win_against_the_purge(server: &Server) {
    const ROUNDS: usize = 28;
    let contents: Vec<Vec<u8>> = (0..4).map(|_| unique_text().into_bytes()).collect();
    let owners: Vec<Client> = ["a", "b", "c"]
        .map(|owner| server.client_of(owner))
        .to_vec();
    let (_second, _) = server.second_process().await;
    let work = owners.iter().flat_map(|client| {
        contents
            .iter()
            .enumerate()
            .map(move |(number, bytes)| async move {
                let sha1 = digests(bytes).sha1;
                for round in 0..ROUNDS {
                    let has_it = match (round + number) % 4 {
                        0 => client
                            .upload_raw("a", bytes.clone())
                            .await
                            .status
                            .is_success(),
                        1 => client.upload("a", bytes.clone()).await.status.is_success(),
                        2 => {
                            let upload = TusUpload::begin(client, bytes.len(), &[]).await;
                            upload.append(0, bytes.clone()).await.status.is_success()
                        }
                        _ => claim(client, &sha1, bytes).await,
                    };
                    assert!(
                        has_it || (round + number) % 4 == 3,
                        "an upload is never refused"
                    );
                    if has_it {
                        let content = client.get(&format!("/files/{sha1}/content")).await;
                        assert_eq!(content.status, 200, "{}", content.text());
                        assert_eq!(content.body, bytes);
                        assert_eq!(purge(client, &sha1).await, 204);
                    }
                    sleep(Duration::from_millis((number * 13 + round * 7) as u64 % 60)).await;
                }
            })
    });
    // 336 rounds on each database, a thousand in all.
    join_all(work).await;
    eventually(|| server.objects().is_empty()).await;
    for bytes in &contents {
        let sha1 = digests(bytes).sha1;
        eventually(|| rows(server, &sha1) == "0 0").await;
    }
    let _ = server.database().sql("DELETE FROM tbl_upload");
}

async fn a_download_comes_to_its_end_while_its_file_is_purged(server: &Server) {
    let (alice, bob) = (server.client_of("alice"), server.client_of("bob"));
    let bytes = random(8_000_000);
    let sha1 = alice
        .upload_raw("a.bin", bytes.clone())
        .await
        .meta()
        .file_sha1;
    bob.upload_raw("b.bin", bytes.clone()).await;
    let mut download = {
        let request = alice.request(Method::GET, &format!("/files/{sha1}/content"));
        request.send().await.unwrap()
    };
    let mut got = download.chunk().await.unwrap().unwrap().to_vec();
    assert_eq!(purge(&bob, &sha1).await, 204);
    assert_eq!(purge(&alice, &sha1).await, 204);
    eventually(|| server.objects().is_empty()).await;
    while let Some(piece) = download.chunk().await.unwrap() {
        got.extend_from_slice(&piece);
    }
    assert!(got == bytes, "all of it came");
    alice
        .get(&format!("/files/{sha1}/content"))
        .await
        .problem(404, "not-found");
}

#[tokio::test]
async fn what_was_deleted_long_ago_cannot_be_restored() {
    let settings = [
        ("FILESERVER_PURGE_GRACE", "1"),
        ("FILESERVER_DELETED_AGE", "1"),
    ];
    let server = Server::start(Kind::Sqlite, &settings).await;
    let client = server.client();
    let (sha1, bytes) = client.upload_some("a.txt").await;
    let kept = client.upload_raw("kept.txt", unique_text()).await.meta();
    client.delete(&sha1).await;
    eventually(|| rows(&server, &sha1) == "0 0").await;
    let restore = json!({"status": "available"});
    client
        .patch(&sha1, &restore)
        .await
        .problem(404, "not-found");
    assert!(client.list_all("status=deleted").await.is_empty());
    let usage = client.get("/usage").await.json();
    assert_eq!(
        (&usage["bytes"], &usage["files"]),
        (&json!(kept.file_size), &json!(1))
    );
    assert_eq!(client.upload("a.txt", bytes).await.status, 201);
    server.finish().await;
}

#[tokio::test]
async fn a_purge_goes_on_after_a_crash() {
    let server = Server::start(Kind::Sqlite, AT_ONCE).await;
    let alice = server.client_of("alice");
    let mut gone = Vec::new();
    for _ in 0..30 {
        gone.push(alice.upload_some("a.txt").await.0);
    }
    let (kept, bytes) = alice.upload_some("kept.txt").await;
    for sha1 in &gone {
        purge(&alice, sha1).await;
    }
    // As a crash leaves it after the row was withdrawn, and after its bytes went.
    server.kill().await;
    for sha1 in &gone[..20] {
        let shard = &sha1.to_string()[38..];
        let withdraw = format!("UPDATE tbl_{shard} SET status = 2 WHERE file_sha1 = '{sha1}'");
        let _ = server.database().sql(&withdraw);
    }
    for object in server.objects() {
        let name = object.file_name().unwrap().to_str().unwrap().to_owned();
        if gone[..10]
            .iter()
            .any(|sha1| name.starts_with(&sha1.to_string()))
        {
            std::fs::remove_file(object).unwrap();
        }
    }
    server.check_is_clean();
    server.restart().await;
    for sha1 in &gone {
        eventually(|| rows(&server, sha1) == "0 0").await;
    }
    eventually(|| server.objects().len() == 1).await;
    assert_eq!(
        alice.get(&format!("/files/{kept}/content")).await.body,
        bytes
    );
    server.finish().await;
}
