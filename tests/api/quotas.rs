//! Quotas: no owner exceeds theirs, and every owner can use all of it.

use std::time::Duration;

use futures_util::future::join_all;
use harness::{Client, Kind, Server, TusUpload, digests, on_every_database, pieces, random};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::{io::AsyncWriteExt as _, time::sleep};

use crate::claiming;

on_every_database! {
    with &[("FILESERVER_AUTH", "token"), ("FILESERVER_QUOTA_BYTES", "10000"), ("FILESERVER_QUOTA_FILES", "8"), ("FILESERVER_QUOTA_UPLOADS", "60")];
    of_fifty_uploads_at_once_as_many_are_taken_as_there_is_room_for,
    room_is_reserved_when_an_upload_begins,
    uploads_of_unknown_length_stop_where_the_room_ends,
    deleting_gives_room_back_when_it_is_for_good,
    parts_and_what_is_made_of_them_count_once,
}

async fn usage(client: &Client) -> Value {
    client.get("/usage").await.json()
}

async fn purge(client: &Client, sha1: &domain::Sha1) {
    let purge = client.request(Method::DELETE, &format!("/files/{sha1}?purge=true"));
    assert_eq!(client.send(purge).await.status, 204);
}

async fn of_fifty_uploads_at_once_as_many_are_taken_as_there_is_room_for(server: &Server) {
    let alice = server.client_of("alice");
    let uploads = (0..50).map(|number: u32| {
        let alice = &alice;
        async move {
            let bytes = random(2000);
            match number % 3 {
                0 => alice.upload_raw("a.bin", bytes).await,
                1 => alice.upload("a.bin", bytes).await,
                _ => {
                    let length = bytes.len();
                    let request = TusUpload::request_at(alice, Method::POST, "/tus");
                    let request = request
                        .header("upload-length", length)
                        .header("content-type", "application/offset+octet-stream");
                    alice.send(request.body(bytes)).await
                }
            }
        }
    });
    let mut taken = 0;
    for answer in join_all(uploads).await {
        match answer.status.as_u16() {
            201 => taken += 1,
            _ => drop(answer.problem(507, "quota-full")),
        }
    }
    assert_eq!(taken, 5);
    let now = usage(&alice).await;
    assert_eq!((&now["bytes"], &now["files"]), (&json!(10_000), &json!(5)));
    assert_eq!(
        (&now["uploads"], &now["reserved_bytes"]),
        (&json!(0), &json!(0))
    );
    let quota = json!({"bytes": 10_000, "files": 8, "uploads": 60});
    assert_eq!(now["quota"], quota);
    // A known content needs no space, and neither does an empty file.
    let known = alice.list_all("").await.remove(0);
    let content = alice.get(&known.location.to_string()).await.body;
    let path = format!("/files/{}?file_name=a", known.file_sha1);
    let put = alice.request(Method::PUT, &path).body(content);
    assert_eq!(alice.send(put).await.status, 200);
    assert_eq!(alice.upload_raw("empty", "").await.status, 201);
    // Another owner has room of their own, for the same content too.
    let bob = server.client_of("bob");
    assert_eq!(bob.upload_raw("b.bin", random(10_000)).await.status, 201);
    let full = bob
        .upload_raw("b.bin", "x")
        .await
        .problem(507, "quota-full");
    assert!(full.contains("10000"), "{full}");
}

async fn room_is_reserved_when_an_upload_begins(server: &Server) {
    let alice = server.client_of("alice");
    let upload = TusUpload::begin(&alice, 9000, &[]).await;
    let now = usage(&alice).await;
    assert_eq!(
        (&now["uploads"], &now["reserved_bytes"]),
        (&json!(1), &json!(9000))
    );
    alice
        .upload_raw("a.bin", random(1001))
        .await
        .problem(507, "quota-full");
    let begin = TusUpload::request_at(&alice, Method::POST, "/tus").header("upload-length", 1001);
    alice.send(begin).await.problem(507, "quota-full");
    let content = random(1001);
    let claim = json!({
        "file_sha1": digests(&content).sha1, "file_size": content.len(), "file_name": "claimed",
    });
    assert_eq!(
        server
            .client_of("bob")
            .upload_raw("b.bin", content.clone())
            .await
            .status,
        201
    );
    let claim = alice
        .send(alice.request(Method::POST, "/claims").json(&claim))
        .await;
    assert_eq!(claim.status, 201, "a claim is no file yet");
    let challenge = claim.json();
    let sha1 = digests(&content).sha1;
    let proof = claiming::prove(&challenge, &sha1, &content);
    let proven = claiming::present(&alice, &challenge, &proof).await;
    proven.problem(507, "quota-full");
    assert_eq!(alice.upload_raw("a.bin", random(1000)).await.status, 201);
    assert_eq!(upload.append(0, random(9000)).await.status, 204);
    let now = usage(&alice).await;
    assert_eq!(
        (&now["bytes"], &now["reserved_bytes"]),
        (&json!(10_000), &json!(0))
    );
    // The length may be said later.
    let bob = server.client_of("bob");
    let deferred = TusUpload::request_at(&bob, Method::POST, "/tus");
    let deferred = bob.send(deferred.header("upload-defer-length", 1)).await;
    let deferred = TusUpload::at(&bob, deferred.header("location"));
    let settled = deferred
        .appending(0)
        .header("upload-length", 9000)
        .body("x");
    bob.send(settled).await.problem(507, "quota-full");
    let settled = deferred
        .appending(0)
        .header("upload-length", 8999)
        .body(random(8999));
    assert_eq!(bob.send(settled).await.status, 204);
}

async fn uploads_of_unknown_length_stop_where_the_room_ends(server: &Server) {
    let alice = server.client_of("alice");
    let chunks = |count: usize| pieces((0..count).map(|_| random(1000)));
    alice
        .upload_raw("a.bin", chunks(11))
        .await
        .problem(507, "quota-full");
    let creation = alice
        .request(Method::POST, "/files?file_name=a")
        .header("upload-complete", "?0");
    let begun = alice.send(creation.body(chunks(3))).await;
    assert_eq!(begun.status, 201, "{}", begun.text());
    let url = begun.header("location").to_owned();
    let append = alice
        .request(Method::PATCH, &url)
        .header("content-type", "application/partial-upload")
        .header("upload-offset", 3000)
        .header("upload-complete", "?1");
    let full = alice.send(append.body(chunks(9))).await;
    full.problem(507, "quota-full");
    let offset: usize = full.header("upload-offset").parse().unwrap();
    assert!((9000..=10_000).contains(&offset), "{offset}");
    let end = alice
        .request(Method::PATCH, &url)
        .header("content-type", "application/partial-upload")
        .header("upload-offset", offset)
        .header("upload-complete", "?1");
    assert_eq!(alice.send(end).await.status, 201);
    assert_eq!(usage(&alice).await["bytes"], offset);
    // However an upload is broken off, what came of it counts.
    let token = server.token("bob", "files:read,files:write");
    let bob = server.client().with_token(&token);
    let deferred = TusUpload::request_at(&bob, Method::POST, "/tus");
    let deferred = bob.send(deferred.header("upload-defer-length", 1)).await;
    let url = deferred.header("location");
    let head = format!(
        "PATCH {url} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\nTus-Resumable: 1.0.0\r\n\
         Upload-Offset: 0\r\nContent-Type: application/offset+octet-stream\r\n\
         Content-Length: 9000\r\n\r\n"
    );
    let mut broken = server.connect().await;
    broken.write_all(head.as_bytes()).await.unwrap();
    broken.write_all(&random(5000)).await.unwrap();
    sleep(Duration::from_millis(300)).await;
    broken.set_zero_linger().unwrap();
    drop(broken);
    sleep(Duration::from_millis(300)).await;
    let reserved = usage(&bob).await["reserved_bytes"].as_u64().unwrap();
    assert!(reserved >= 5000, "{reserved}");
    bob.upload_raw("a.bin", random(6000))
        .await
        .problem(507, "quota-full");
    assert_eq!(TusUpload::at(&bob, url).remove().await.status, 204);
    assert_eq!(usage(&bob).await["reserved_bytes"], 0);
}

async fn deleting_gives_room_back_when_it_is_for_good(server: &Server) {
    let alice = server.client_of("alice");
    let bytes = random(6000);
    let sha1 = alice
        .upload_raw("a.bin", bytes.clone())
        .await
        .meta()
        .file_sha1;
    alice.delete(&sha1).await;
    // It can be restored, so there has to be room for it.
    alice
        .upload_raw("b.bin", random(5000))
        .await
        .problem(507, "quota-full");
    assert_eq!(
        alice
            .patch(&sha1, &json!({"status": "available"}))
            .await
            .status,
        200
    );
    assert_eq!(usage(&alice).await["bytes"], 6000);
    purge(&alice, &sha1).await;
    assert_eq!(usage(&alice).await["bytes"], 0);
    assert_eq!(alice.upload_raw("b.bin", random(5000)).await.status, 201);
    alice
        .upload_raw("a.bin", bytes.clone())
        .await
        .problem(507, "quota-full");
    // An owner's own quota comes before everybody's.
    let set = |bytes: &str| {
        let set = server.command(&["quota", "set", "--owner", "alice", "--bytes", bytes]);
        assert!(set.status.success());
    };
    set("11kB");
    assert_eq!(alice.upload_raw("a.bin", bytes).await.status, 201);
    assert_eq!(usage(&alice).await["quota"]["bytes"], 11_000);
    alice
        .upload_raw("c.bin", "x")
        .await
        .problem(507, "quota-full");
    set("none");
    assert_eq!(alice.upload_raw("c.bin", random(20_000)).await.status, 201);
    assert!(usage(&alice).await["quota"]["bytes"].is_null());
    set("default");
    alice
        .upload_raw("d.bin", "x")
        .await
        .problem(507, "quota-full");
    let shown = server.command(&["quota", "show", "--json"]);
    let shown: Value = serde_json::from_slice(&shown.stdout).unwrap();
    assert_eq!(
        (&shown["owner"], &shown["bytes"]),
        (&json!("alice"), &json!(31_000))
    );
    // Counts that were tampered with are found, and mended.
    let _ = server.database().sql("UPDATE tbl_usage SET bytes = 1");
    assert_eq!(server.command(&["check"]).status.code(), Some(1));
    assert!(server.command(&["quota", "recount"]).status.success());
    assert_eq!(usage(&alice).await["bytes"], 31_000);
}

async fn parts_and_what_is_made_of_them_count_once(server: &Server) {
    let alice = server.client_of("alice");
    let mut parts = Vec::new();
    for _ in 0..2 {
        let request = TusUpload::request_at(&alice, Method::POST, "/tus")
            .header("upload-concat", "partial")
            .header("upload-length", 5000)
            .header("content-type", "application/offset+octet-stream");
        let part = alice.send(request.body(random(5000))).await;
        assert_eq!(part.status, 201, "{}", part.text());
        parts.push(part.header("location").to_owned());
    }
    let full = TusUpload::request_at(&alice, Method::POST, "/tus").header("upload-length", 1);
    alice.send(full).await.problem(507, "quota-full");
    let whole = TusUpload::request_at(&alice, Method::POST, "/tus");
    let whole = whole.header("upload-concat", format!("final;{}", parts.join(" ")));
    let whole = alice.send(whole).await;
    assert_eq!(whole.status, 201, "{}", whole.text());
    let now = usage(&alice).await;
    assert_eq!(
        (&now["bytes"], &now["uploads"]),
        (&json!(10_000), &json!(0))
    );
}

#[tokio::test]
async fn files_and_running_uploads_are_bounded() {
    let settings = [
        ("FILESERVER_QUOTA_FILES", "3"),
        ("FILESERVER_QUOTA_UPLOADS", "2"),
    ];
    let server = Server::start(Kind::Sqlite, &settings).await;
    let client = server.client();
    let uploads = [
        TusUpload::begin(client, 3, &[]).await,
        TusUpload::begin(client, 4, &[]).await,
    ];
    let third = TusUpload::request_at(client, Method::POST, "/tus").header("upload-length", 1);
    let detail = client.send(third).await.problem(507, "quota-full");
    assert!(detail.contains("2 running uploads"), "{detail}");
    client.upload_raw("a", "a").await.problem(507, "quota-full");
    assert_eq!(uploads[0].append(0, "abc").await.status, 204);
    assert_eq!(client.upload_raw("a", "a").await.status, 201);
    let detail = client.upload_raw("b", "b").await.problem(507, "quota-full");
    assert!(detail.contains("3 files"), "{detail}");
    assert_eq!(uploads[1].append(0, "abcd").await.status, 204);
    assert_eq!(client.list_all("").await.len(), 3);
    server.finish().await;
}
