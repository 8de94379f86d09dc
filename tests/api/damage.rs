//! Bytes that changed in the store: none is sent as what was stored, and an upload replaces them.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use harness::{Ceph, Kind, Server, digests, eventually, lent, on_every_database, random};
use reqwest::Method;
use serde_json::Value;
use tokio::time::sleep;

use crate::{claiming, transferring};

on_every_database! {
    alone with &[("FILESERVER_AUTH", "token")];
    an_upload_of_whole_bytes_replaces_damaged_ones,
    no_range_has_a_damaged_block,
    a_check_marks_damage_until_it_is_repaired,
    what_is_damaged_is_not_taken_for_there,
    what_came_in_pieces_gets_its_checksums,
}

/// Changes a byte of an object's file.
fn flip(object: &Path, at: usize) {
    let mut bytes = fs::read(object).unwrap();
    bytes[at] ^= 1;
    fs::write(object, bytes).unwrap();
}

fn object_of(server: &Server, sha1: &impl ToString) -> PathBuf {
    let sha1 = sha1.to_string();
    let is_of = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_str().unwrap();
        name.starts_with(&sha1)
    };
    let mut found = server.objects().into_iter().filter(is_of);
    let newest = |path: &PathBuf| fs::metadata(path).unwrap().modified().unwrap();
    found.by_ref().max_by_key(newest).unwrap()
}

async fn an_upload_of_whole_bytes_replaces_damaged_ones(server: &Server) {
    let (alice, bob) = (server.client_of("alice"), server.client_of("bob"));
    for size in [1, 4096, 65_536, 65_537, 300_000, 9_000_000] {
        let bytes = random(size);
        let sha1 = digests(&bytes).sha1;
        let content = format!("/files/{sha1}/content");
        assert_eq!(alice.upload_raw("a.bin", bytes.clone()).await.status, 201);
        assert_eq!(alice.get(&content).await.body, bytes);
        flip(&object_of(server, &sha1), size - 1);
        assert_eq!(bob.upload_raw("b.bin", bytes.clone()).await.status, 201);
        for client in [&alice, &bob] {
            let answer = client.get(&content).await;
            assert_eq!(answer.status, 200, "{size}");
            assert_eq!(answer.body, bytes, "{size}");
        }
        // A reader finds the damage before anybody uploads the content again.
        flip(&object_of(server, &sha1), 0);
        bob.get(&content).await.problem(500, "internal");
        let put = alice.request(Method::PUT, &format!("/files/{sha1}?file_name=a.bin"));
        assert_eq!(alice.send(put.body(bytes.clone())).await.status, 200);
        assert_eq!(bob.get(&content).await.body, bytes, "{size}");
    }
}

async fn no_range_has_a_damaged_block(server: &Server) {
    let client = &server.client_of("alice");
    let bytes = random(70_000_000);
    let sha1 = client
        .upload_raw("a.bin", bytes.clone())
        .await
        .meta()
        .file_sha1;
    let content = format!("/files/{sha1}/content");
    let at = 68_000_000;
    flip(&object_of(server, &sha1), at);
    let range = async |first: usize, last: usize| {
        let request = client.request(Method::GET, &content);
        let request = request.header("range", format!("bytes={first}-{last}"));
        client.try_send(request).await
    };
    for (first, last) in [
        (0, 0),
        (65_530, 65_540),
        (1_000_000, 30_000_001),
        (69_999_999, 69_999_999),
    ] {
        let answer = range(first, last).await.unwrap();
        assert_eq!(answer.status, 206);
        assert_eq!(answer.body, bytes[first..=last], "{first}-{last}");
    }
    let block = at / 65_536 * 65_536;
    for (first, last) in [
        (at, at),
        (block, block),
        (at - 100_000, at + 10),
        (at + 1, at + 200_000),
    ] {
        let answer = range(first, last).await.unwrap();
        answer.problem(500, "internal");
        // The mark does not hide that the rest could be read until now.
        let _ = server.database().sql(&format!(
            "UPDATE tbl_{} SET status = 0",
            &sha1.to_string()[38..]
        ));
    }
    // The status was sent before the block was read: the connection ends before the damaged block.
    for request in [(0, at + 10), (at - 20_000_000, at)] {
        match range(request.0, request.1).await {
            Ok(answer) => assert_eq!(answer.status, 500),
            Err(error) => assert!(
                error.is_body() || error.is_decode() || error.is_request(),
                "{error}"
            ),
        }
    }
    client.upload_raw("a.bin", bytes.clone()).await;
    assert!(client.get(&content).await.body == bytes);
}

fn findings(server: &Server, arguments: &[&str]) -> Vec<String> {
    let output = server.command(&[&["check", "--json"], arguments].concat());
    let report = String::from_utf8(output.stdout).unwrap();
    let lines = report
        .lines()
        .map(|line| serde_json::from_str(line).unwrap());
    let kinds = lines.filter_map(|line: Value| Some(line["finding"].as_str()?.to_owned()));
    kinds.collect()
}

async fn a_check_marks_damage_until_it_is_repaired(server: &Server) {
    let client = &server.client_of("alice");
    let bytes = random(200_000);
    let sha1 = client
        .upload_raw("a.bin", bytes.clone())
        .await
        .meta()
        .file_sha1;
    let content = format!("/files/{sha1}/content");
    let object = object_of(server, &sha1);
    flip(&object, 100_000);
    assert_eq!(findings(server, &["--digests"]), ["wrong_digests"]);
    assert_eq!(findings(server, &[]), ["damaged"]);
    client.get(&content).await.problem(500, "internal");
    flip(&object, 100_000);
    assert_eq!(findings(server, &[]), ["damaged"], "nothing was read");
    assert!(findings(server, &["--digests"]).is_empty());
    assert_eq!(client.get(&content).await.body, bytes);
    flip(&object, 5);
    assert_eq!(findings(server, &["--digests"]), ["wrong_digests"]);
    assert_eq!(client.upload_raw("a.bin", bytes.clone()).await.status, 200);
    assert!(findings(server, &["--digests"]).is_empty());
    assert_eq!(client.get(&content).await.body, bytes);
}

/// Neither resumable uploads nor claims are complete by bytes that are not whole.
async fn what_is_damaged_is_not_taken_for_there(server: &Server) {
    let client = &server.client_of("alice");
    let bytes = random(300_000);
    let sha1 = digests(&bytes).sha1;
    client.upload_raw("a.bin", bytes.clone()).await;
    let digest = format!("sha=:{}:", BASE64_STANDARD.encode(sha1.as_bytes()));
    let begin = async || {
        let draft = client.request(Method::POST, "/files?file_name=a.bin");
        let draft = draft
            .header("upload-complete", "?0")
            .header("upload-length", bytes.len())
            .header("repr-digest", &digest);
        let draft = client.send(draft).await;
        let sha1 = sha1.to_string();
        let tus = [("filename", "a.bin"), ("sha1", sha1.as_str())];
        let tus = harness::TusUpload::begin(client, bytes.len(), &tus).await;
        (
            draft.header("upload-complete").to_owned(),
            tus.offset().await,
        )
    };
    assert_eq!(begin().await, ("?1".to_owned(), bytes.len()), "it is there");
    // Between the samples of a claim, too, of which there are few in so many bytes.
    flip(&object_of(server, &sha1), 150_000);
    assert_eq!(claiming::claim_and_prove(client, &sha1, &bytes).await, 422);
    assert_eq!(begin().await, ("?0".to_owned(), 0), "its bytes are wanted");
    client.upload_raw("a.bin", bytes.clone()).await;
    assert_eq!(claiming::claim_and_prove(client, &sha1, &bytes).await, 200);
    assert_eq!(begin().await, ("?1".to_owned(), bytes.len()));
}

async fn what_came_in_pieces_gets_its_checksums(server: &Server) {
    let client = &server.client_of("alice");
    let bytes = random(200_000);
    let upload = harness::TusUpload::begin(client, bytes.len(), &[("filename", "a.bin")]).await;
    assert_eq!(
        upload.append(0, bytes[..100_000].to_vec()).await.status,
        204
    );
    assert_eq!(
        upload
            .append(100_000, bytes[100_000..].to_vec())
            .await
            .status,
        204
    );
    let sha1 = digests(&bytes).sha1;
    let table = format!("tbl_{}", &sha1.to_string()[38..]);
    let count = format!("SELECT COUNT(*) FROM {table} WHERE ext1 IS NOT NULL");
    eventually(|| server.database().sql(&count).trim() == "1").await;
    flip(&object_of(server, &sha1), 199_999);
    let content = format!("/files/{sha1}/content");
    client.get(&content).await.problem(500, "internal");
    client.upload_raw("a.bin", bytes.clone()).await;
    assert_eq!(client.get(&content).await.body, bytes);
}

#[tokio::test]
async fn the_scrubber_reads_everything_in_its_time() {
    let server = Server::start(Kind::Sqlite, &[("FILESERVER_SCRUB_TIME", "1")]).await;
    let client = server.client();
    let mut files = Vec::new();
    for size in [10, 70_000, 200_000] {
        let bytes = random(size);
        let sha1 = client
            .upload_raw("a.bin", bytes.clone())
            .await
            .meta()
            .file_sha1;
        files.push((sha1, bytes));
    }
    // As an earlier version left them.
    for (sha1, _) in &files {
        let table = format!("tbl_{}", &sha1.to_string()[38..]);
        let _ = server
            .database()
            .sql(&format!("UPDATE {table} SET ext1 = NULL"));
    }
    let _ = server.database().sql("DELETE FROM tbl_checksum");
    let has_all = || {
        server
            .database()
            .sql("SELECT COUNT(*) FROM tbl_checksum")
            .trim()
            == "2"
    };
    eventually(has_all).await;
    let (sha1, bytes) = &files[2];
    flip(&object_of(&server, sha1), 150_000);
    eventually(|| findings(&server, &[]) == ["damaged"]).await;
    let metrics = client.get("/metrics").await.text();
    for metric in [
        "scrubbed_contents_total",
        "scrubbed_bytes_total",
        "damaged_copies_total",
    ] {
        let line = metrics
            .lines()
            .find(|line| line.starts_with(&format!("fileserver_{metric} ")));
        let value = line
            .and_then(|line| line.rsplit(' ').next())
            .unwrap_or_default();
        assert!(
            value.parse::<u64>().is_ok_and(|value| value > 0),
            "{metric} {value}"
        );
    }
    flip(&object_of(&server, sha1), 150_000);
    eventually(|| findings(&server, &[]).is_empty()).await;
    let content = client.get(&format!("/files/{sha1}/content")).await;
    assert_eq!(content.body, *bytes, "it is whole again");
    server.finish().await;
}

#[tokio::test]
async fn damage_in_a_bucket_is_noticed_and_repaired() {
    let ceph = Ceph::settings();
    let mut settings = lent(&ceph);
    settings.push(("FILESERVER_PRIMARY", "ceph"));
    let server = Server::alone(Kind::Sqlite, &settings).await;
    let client = server.client();
    for size in [1, 65_537, 100_000] {
        let letters = random(size).into_iter().map(|byte| b'a' + byte % 25);
        let bytes: Vec<u8> = letters.collect();
        let uploaded = client.upload_raw("a.bin", bytes.clone()).await;
        let content = format!("/files/{}/content", uploaded.meta().file_sha1);
        assert_eq!(client.get(&content).await.body, bytes);
        let mut damaged = bytes.clone();
        damaged[size - 1] += 1;
        let sha1 = uploaded.meta().file_sha1.to_string();
        let address = format!("SELECT file_addr FROM tbl_{}", &sha1[38..]);
        let address = server.database().sql(&address);
        let name = address.trim().rsplit('/').next().unwrap().to_owned();
        let is_its = |key: &PathBuf| key.ends_with(&name);
        let key = server.objects().into_iter().find(is_its).unwrap();
        server.damage(&key, Some(std::str::from_utf8(&damaged).unwrap()));
        client.get(&content).await.problem(500, "internal");
        assert_eq!(client.upload_raw("a.bin", bytes.clone()).await.status, 200);
        let answer = client.get(&content).await;
        assert_eq!(
            (answer.status.as_u16(), &answer.body[..]),
            (200, &bytes[..])
        );
    }
    server.finish().await;
}

#[tokio::test]
async fn a_damaged_copy_is_made_again_from_a_whole_one() {
    let settings = [
        ("FILESERVER_STORES_SECOND_KIND", "disk"),
        ("FILESERVER_STORES_SECOND_PATH", "second"),
        ("FILESERVER_TRANSFER_POLICY", "copy"),
        ("FILESERVER_TRANSFER_TO", "second"),
    ];
    let server = transferring::start(Kind::Sqlite, Vec::new(), &settings).await;
    let client = server.client();
    let bytes = random(300_000);
    let uploaded = client.upload_raw("a.bin", bytes.clone()).await;
    let sha1 = uploaded.meta().file_sha1;
    transferring::until_settled(&server).await;
    flip(&object_of(&server, &sha1), 200_000);
    // A reader tells nobody a wrong byte, and lets the copy be replaced.
    let content = format!("/files/{sha1}/content");
    let read = async || client.try_send(client.request(Method::GET, &content)).await;
    while !read().await.is_ok_and(|answer| answer.status == 200) {
        sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(read().await.unwrap().body, bytes);
    let of_bytes = |object: &PathBuf| fs::read(object).unwrap() == bytes;
    eventually(|| server.objects().iter().any(of_bytes)).await;
    transferring::until_settled(&server).await;
    let address = format!(
        "SELECT file_addr, ext2 FROM tbl_{}",
        &sha1.to_string()[38..]
    );
    assert!(server.database().sql(&address).contains("second:"));
    assert!(findings(&server, &["--digests"]).is_empty());
    server.finish().await;
}
