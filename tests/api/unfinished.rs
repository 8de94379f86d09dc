//! Unfinished uploads: their owners list and drop them, and a new upload of the same content takes
//! their place.

use std::time::Duration;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use harness::{
    Answer, Ceph, Client, Server, TusUpload, digests, eventually, on_every_database, random,
};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::{io::AsyncReadExt as _, time::timeout};

use crate::{
    claiming,
    resuming::{content, half_a_patch},
};

on_every_database! {
    with &[("FILESERVER_AUTH", "token"), ("FILESERVER_QUOTA_BYTES", "1500000")];
    owners_list_their_unfinished_uploads,
    a_dropped_upload_frees_its_room_at_once,
    a_new_upload_takes_the_place_of_the_older_one_of_its_content,
    uploads_of_one_content_under_two_names_go_on_beside_each_other,
    the_room_of_an_older_upload_is_for_a_newer_one_of_its_content,
    an_upload_that_is_written_to_keeps_its_place,
    an_upload_that_is_dropped_ends_its_request_with_a_problem,
}

async fn list(client: &Client, query: &str) -> (Vec<Value>, Value) {
    let answer = client.get(&format!("/uploads{query}")).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.header("cache-control"), "no-store");
    let page = answer.json();
    (
        page["uploads"].as_array().unwrap().clone(),
        page["next"].clone(),
    )
}

/// Begins an upload by the IETF's draft.
async fn begin_draft(client: &Client, name: &str, bytes: &[u8], first: usize) -> Answer {
    let request = client.request(Method::POST, &format!("/files?file_name={name}"));
    let request = request
        .header("upload-complete", "?0")
        .header("upload-length", bytes.len())
        .header("repr-digest", format!("sha-256=:{}:", base64_sha256(bytes)));
    client.send(request.body(bytes[..first].to_vec())).await
}

fn base64_sha256(bytes: &[u8]) -> String {
    BASE64_STANDARD.encode(digests(bytes).sha256.as_bytes())
}

async fn begin(client: &Client, name: &str, bytes: &[u8]) -> TusUpload {
    let content = digests(bytes);
    let (sha1, sha256) = (content.sha1.to_string(), content.sha256.to_string());
    let metadata = [("filename", name), ("sha1", &sha1), ("sha256", &sha256)];
    TusUpload::begin(client, bytes.len(), &metadata).await
}

/// Removes the upload at each URL.
async fn remove_all(client: &Client, uploads: &[Value]) {
    for upload in uploads {
        let url = upload["location"].as_str().unwrap();
        assert_eq!(TusUpload::at(client, url).remove().await.status, 204);
    }
}

async fn reserved(client: &Client) -> Value {
    client.get("/usage").await.json()["reserved_bytes"].clone()
}

async fn owners_list_their_unfinished_uploads(server: &Server) {
    let (alice, bob) = (server.client_of("alice"), server.client_of("bob"));
    assert_eq!(list(&alice, "").await, (Vec::new(), Value::Null));
    let bytes = random(1000);
    let tus = begin(&alice, "a.bin", &bytes).await;
    assert_eq!(tus.append(0, bytes[..700].to_vec()).await.status, 204);
    let draft = begin_draft(&alice, "b.bin", &random(300), 5).await;
    let draft = draft.header("location").to_owned();
    let deferred = TusUpload::request_at(&alice, Method::POST, "/tus");
    let part = deferred
        .header("upload-defer-length", 1)
        .header("upload-concat", "partial");
    assert_eq!(alice.send(part).await.status, 201);
    // What is complete is no longer unfinished.
    let done = TusUpload::begin(&alice, 1, &[]).await;
    assert_eq!(done.append(0, "x").await.status, 204);

    let (uploads, next) = list(&alice, "").await;
    assert_eq!((uploads.len(), next), (3, Value::Null), "{uploads:?}");
    let [newest, middle, oldest] = [&uploads[0], &uploads[1], &uploads[2]];
    assert_eq!(
        (&newest["kind"], &newest["length"]),
        (&json!("part"), &Value::Null)
    );
    assert_eq!(
        (&middle["protocol"], &middle["location"]),
        (&json!("http"), &json!(draft))
    );
    assert_eq!(
        (&middle["offset"], &middle["length"]),
        (&json!(5), &json!(300))
    );
    assert!(middle["file_sha256"].is_string() && middle.get("file_sha1").is_none());
    assert_eq!(
        (&oldest["protocol"], &oldest["location"]),
        (&json!("tus"), &json!(tus.url))
    );
    assert_eq!(
        (&oldest["offset"], &oldest["length"]),
        (&json!(700), &json!(1000))
    );
    assert_eq!(oldest["file_name"], "a.bin");
    assert_eq!(oldest["kind"], "file");
    assert_eq!(oldest["file_sha1"], digests(&bytes).sha1.to_string());
    let id = oldest["id"].as_str().unwrap();
    assert!(tus.url.ends_with(id), "{id}");
    assert!(oldest["create_at"].as_str() < oldest["expires_at"].as_str());

    // Page by page.
    let mut seen = Vec::new();
    let mut query = "?limit=1".to_owned();
    loop {
        let answer = alice.get(&format!("/uploads{query}")).await;
        let page = answer.json();
        seen.extend(page["uploads"].as_array().unwrap().clone());
        let Some(next) = page["next"].as_str() else {
            assert!(!answer.headers.contains_key("link"));
            break;
        };
        query = format!("?limit=1&cursor={next}");
        assert_eq!(
            answer.header("link"),
            format!("</uploads{query}>; rel=\"next\"")
        );
    }
    assert_eq!(seen, uploads);
    let cursor = query.trim_start_matches("?limit=1&cursor=");
    for (client, wrong, kind) in [
        (&bob, format!("/uploads?cursor={cursor}"), "invalid-cursor"),
        (&alice, format!("/files?cursor={cursor}"), "invalid-cursor"),
        (&alice, "/uploads?cursor=x".to_owned(), "invalid-cursor"),
        (&alice, "/uploads?limit=0".to_owned(), "invalid-query"),
        (&alice, "/uploads?limit=1001".to_owned(), "invalid-query"),
        (&alice, "/uploads?name=a".to_owned(), "invalid-query"),
    ] {
        client.get(&wrong).await.problem(400, kind);
    }
    let accept = alice
        .request(Method::GET, "/uploads")
        .header("accept", "image/png");
    alice.send(accept).await.problem(406, "not-acceptable");
    assert_eq!(list(&bob, "").await.0, Vec::<Value>::new());
    remove_all(&alice, &uploads).await;
    assert_eq!(list(&alice, "").await.0, Vec::<Value>::new());
}

async fn a_dropped_upload_frees_its_room_at_once(server: &Server) {
    let alice = server.client_of("alice");
    let bytes = random(900_000);
    let tus = TusUpload::begin(&alice, bytes.len(), &[]).await;
    assert_eq!(tus.append(0, bytes[..100_000].to_vec()).await.status, 204);
    alice
        .upload_raw("a.bin", bytes.clone())
        .await
        .problem(507, "quota-full");
    assert_eq!(tus.remove().await.status, 204);
    assert_eq!(reserved(&alice).await, 0);
    let answer = begin_draft(&alice, "a.bin", &bytes, 10).await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    let other = TusUpload::beginning(&alice, bytes.len(), &[]);
    alice.send(other).await.problem(507, "quota-full");
    let remove = alice.request(Method::DELETE, answer.header("location"));
    assert_eq!(alice.send(remove).await.status, 204);
    assert_eq!(reserved(&alice).await, 0);
    assert_eq!(alice.upload_raw("a.bin", bytes).await.status, 201);
    assert!(server.staged().is_empty());
}

async fn a_new_upload_takes_the_place_of_the_older_one_of_its_content(server: &Server) {
    let (alice, bob) = (server.client_of("alice"), server.client_of("bob"));
    let bytes = random(400_000);
    let of_bob = begin(&bob, "a.bin", &bytes).await;
    let oldest = begin(&alice, "a.bin", &bytes).await;
    assert_eq!(
        oldest.append(0, bytes[..300_000].to_vec()).await.status,
        204
    );
    let older = begin(&alice, "a.bin", &bytes).await;
    assert_eq!(oldest.inspect().await.status, 404);
    assert_eq!(reserved(&alice).await, 400_000);
    // Whichever protocol goes on.
    let mixed = alice.request(Method::POST, "/files?file_name=a.bin");
    let sha1 = base64_sha1(&bytes);
    let digest = format!("sha=:{sha1}:, sha-256=:{}:", base64_sha256(&bytes));
    let mixed = mixed
        .header("upload-complete", "?0")
        .header("repr-digest", digest);
    let newest = alice.send(mixed).await;
    assert_eq!(newest.status, 201, "{}", newest.text());
    assert_eq!(older.inspect().await.status, 404);
    let (uploads, _) = list(&alice, "").await;
    assert_eq!(uploads.len(), 1, "{uploads:?}");
    assert_eq!(uploads[0]["location"], newest.header("location"));
    assert_eq!(
        of_bob.offset().await,
        0,
        "another owner's upload is another"
    );
    // Another length or another digest is another content.
    let shorter = [
        ("filename", "a.bin"),
        ("sha1", &digests(b"x").sha1.to_string()),
    ];
    TusUpload::begin(&alice, 400_000, &shorter).await;
    assert_eq!(list(&alice, "").await.0.len(), 2);
}

fn base64_sha1(bytes: &[u8]) -> String {
    BASE64_STANDARD.encode(digests(bytes).sha1.as_bytes())
}

async fn uploads_of_one_content_under_two_names_go_on_beside_each_other(server: &Server) {
    let alice = server.client_of("alice");
    let bytes = random(400_000);
    let (one, other) = (
        begin(&alice, "a.bin", &bytes).await,
        begin(&alice, "b.bin", &bytes).await,
    );
    assert_eq!(one.append(0, bytes.clone()).await.status, 204);
    assert_eq!(other.append(0, bytes.clone()).await.status, 204);
    assert_eq!(content(&alice, &bytes).await.unwrap(), bytes);
}

async fn the_room_of_an_older_upload_is_for_a_newer_one_of_its_content(server: &Server) {
    for way in ["tus", "draft", "plain", "claim"] {
        let alice = server.client_of(&format!("alice-{way}"));
        let bytes = random(900_000);
        let older = begin(&alice, "a.bin", &bytes).await;
        assert_eq!(older.append(0, bytes[..160_000].to_vec()).await.status, 204);
        // A quota that is full without the older upload keeps it.
        let full = begin_draft(&alice, "b.bin", &random(900_000), 0).await;
        full.problem(507, "quota-full");
        assert_eq!(older.offset().await, 160_000);
        let sha1 = digests(&bytes).sha1;
        match way {
            "tus" => {
                let newer = begin(&alice, "b.bin", &bytes).await;
                assert_eq!(newer.append(0, bytes.clone()).await.status, 204);
            }
            "draft" => assert_eq!(begin_draft(&alice, "a.bin", &bytes, 0).await.status, 201),
            "plain" => {
                let put = alice.request(Method::PUT, &format!("/files/{sha1}?file_name=c.bin"));
                assert_eq!(alice.send(put.body(bytes.clone())).await.status, 201);
            }
            _ => {
                let bob = server.client_of("bob");
                assert_eq!(bob.upload_raw("b.bin", bytes.clone()).await.status, 201);
                let claim = json!({"file_sha1": sha1, "file_size": bytes.len(), "file_name": "c"});
                let claim = alice.request(Method::POST, "/claims").json(&claim);
                let challenge = alice.send(claim).await.json();
                let proof = claiming::prove(&challenge, &sha1, &bytes);
                let proven = claiming::present(&alice, &challenge, &proof).await;
                assert_eq!(proven.status, 201, "{}", proven.text());
            }
        }
        assert_eq!(older.inspect().await.status, 404, "{way}");
        let left = usize::from(way == "draft");
        assert_eq!(list(&alice, "").await.0.len(), left, "{way}");
    }
}

async fn an_upload_that_is_written_to_keeps_its_place(server: &Server) {
    if Ceph::is_primary() {
        // No other process knows which uploads of a bucket are written to.
        return;
    }
    let token = server.token("alice", "files:read,files:write");
    let alice = server.client().with_token(&token);
    let bytes = random(600_000);
    let older = begin(&alice, "a.bin", &bytes).await;
    let fields = format!("Authorization: Bearer {token}\r\n");
    let half = &bytes[..300_000];
    let stream = half_a_patch(server, &older, 0, bytes.len(), half, &fields).await;
    eventually(|| !server.staged().is_empty()).await;
    let newer = begin(&alice, "a.bin", &bytes).await;
    assert_eq!(list(&alice, "").await.0.len(), 2);
    // Once its client has gone, the next one takes its place.
    drop(stream);
    let newest = begin(&alice, "a.bin", &bytes).await;
    for gone in [&older, &newer] {
        assert_eq!(gone.inspect().await.status, 404);
    }
    assert_eq!(newest.append(0, bytes.clone()).await.status, 204);
    assert_eq!(content(&alice, &bytes).await.unwrap(), bytes);
}

async fn an_upload_that_is_dropped_ends_its_request_with_a_problem(server: &Server) {
    let token = server.token("alice", "files:read,files:write");
    let alice = server.client().with_token(&token);
    let bytes = random(600_000);
    let upload = begin(&alice, "a.bin", &bytes).await;
    let fields = format!("Authorization: Bearer {token}\r\n");
    let half = &bytes[..300_000];
    let mut stream = half_a_patch(server, &upload, 0, bytes.len(), half, &fields).await;
    eventually(|| !server.staged().is_empty()).await;
    assert_eq!(upload.remove().await.status, 204);
    let mut answer = String::new();
    let read = stream.read_to_string(&mut answer);
    timeout(Duration::from_secs(30), read)
        .await
        .unwrap()
        .unwrap();
    assert!(answer.starts_with("HTTP/1.1 409"), "{answer}");
    assert!(answer.contains("superseded"), "{answer}");
    assert_eq!(list(&alice, "").await.0, Vec::<Value>::new());
}
