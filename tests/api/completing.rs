//! Uploads that are completed later than by their last request.

use std::{fs, time::Duration};

use harness::{
    Ceph, Kind, Server, TusUpload, digests, eventually, on_every_database, random, unique_text,
};
use reqwest::Method;
use tokio::time::sleep;

use crate::resuming::content;

on_every_database! {
    the_last_byte_is_not_forgotten_in_a_crash,
    half_a_concatenation_goes_on_after_a_crash,
    an_upload_whose_file_is_gone_is_gone,
}

/// A client that comes back to a complete upload takes its file for stored.
async fn an_upload_whose_file_is_gone_is_gone(server: &Server) {
    let client = server.client();
    let bytes = random(300_000);
    let sha1 = digests(&bytes).sha1;
    let tus = TusUpload::begin(client, bytes.len(), &[("filename", "a.bin")]).await;
    assert_eq!(tus.append(0, bytes.clone()).await.status, 204);
    let begun = client.request(Method::POST, "/files?file_name=a.bin");
    let begun = client.send(begun.header("upload-complete", "?0")).await;
    let url = begun.header("location").to_owned();
    let append = |offset: usize, body: Vec<u8>| {
        client
            .request(Method::PATCH, &url)
            .header("upload-offset", offset)
            .header("upload-complete", "?1")
            .header("content-type", "application/partial-upload")
            .body(body)
    };
    assert_eq!(client.send(append(0, bytes.clone())).await.status, 200);
    let inspect = |method: Method| client.send(client.request(method, &url));
    assert_eq!(tus.offset().await, bytes.len());
    assert_eq!(inspect(Method::GET).await.status, 204);

    assert_eq!(client.delete(&sha1).await.status, 204);
    assert_eq!(tus.inspect().await.status, 410);
    let repeated = tus.append(bytes.len(), Vec::new()).await;
    repeated.problem(410, "upload-gone");
    assert_eq!(inspect(Method::HEAD).await.status, 410);
    inspect(Method::GET).await.problem(410, "upload-gone");
    let repeated = client.send(append(bytes.len(), Vec::new())).await;
    repeated.problem(410, "upload-gone");

    // A file that comes back is stored again, and so are its uploads.
    assert_eq!(client.upload("a.bin", bytes.clone()).await.status, 201);
    assert_eq!(tus.offset().await, bytes.len());
    let purge = client.request(Method::DELETE, &format!("/files/{sha1}?purge=true"));
    assert_eq!(client.send(purge).await.status, 204);
    assert_eq!(tus.inspect().await.status, 410);
    // An upload of it begins anew.
    let sha1 = sha1.to_string();
    let anew = TusUpload::begin(client, bytes.len(), &[("sha1", &sha1)]).await;
    assert_eq!(anew.offset().await, 0);
    assert_eq!(anew.append(0, bytes.clone()).await.status, 204);
    assert_eq!(content(client, &bytes).await.unwrap(), bytes);
}

/// As if the process had died right after it wrote the last byte.
async fn the_last_byte_is_not_forgotten_in_a_crash(server: &Server) {
    let client = server.client();
    let mut uploads = Vec::new();
    for _ in 0..2 {
        let bytes = unique_text().into_bytes();
        let upload = TusUpload::begin(client, bytes.len(), &[]).await;
        assert_eq!(upload.append(0, bytes[..5].to_vec()).await.status, 204);
        uploads.push((upload, bytes));
    }
    let complete = |(upload, bytes): &mut (TusUpload, Vec<u8>)| {
        let id = upload.url.rsplit('/').next().unwrap();
        if Ceph::is_primary() {
            // A bucket has no disk to append to, so less is sent.
            bytes.truncate(5);
            let shorter = format!("UPDATE tbl_upload SET length = 5 WHERE id = '{id}'");
            let _ = server.database().sql(&shorter);
            return;
        }
        let part = server.data().join("uploads").join(format!("{id}.part"));
        fs::write(part, bytes).unwrap();
    };
    // The first request completes it ...
    complete(&mut uploads[0]);
    let answer = uploads[0].0.inspect().await;
    let file = format!("/files/{}", digests(&uploads[0].1).sha1);
    assert_eq!(answer.header("content-location"), file);
    assert_eq!(content(client, &uploads[0].1).await.unwrap(), uploads[0].1);
    // ... or else the next start.
    server.kill().await;
    complete(&mut uploads[1]);
    server.restart().await;
    eventually(|| server.staged().is_empty()).await;
    assert_eq!(content(client, &uploads[1].1).await.unwrap(), uploads[1].1);
}

async fn half_a_concatenation_goes_on_after_a_crash(server: &Server) {
    let client = server.client();
    let bytes = random(3_000_000);
    let mut parts = Vec::new();
    for piece in bytes.chunks(1_000_000) {
        let request = TusUpload::request_at(client, Method::POST, "/tus")
            .header("upload-concat", "partial")
            .header("upload-length", piece.len())
            .header("content-type", "application/offset+octet-stream")
            .body(piece.to_vec());
        parts.push(client.send(request).await.header("location").to_owned());
    }
    let upload = TusUpload::begin(client, bytes.len(), &[("filename", "a.bin")]).await;
    let half = bytes[..1_500_000].to_vec();
    assert_eq!(upload.append(0, half).await.status, 204);
    let id = upload.url.rsplit('/').next().unwrap();
    server.kill().await;
    let made_of = parts.join(" ");
    let _ = server.database().sql(&format!(
        "UPDATE tbl_upload SET role = 2, concat = 'final;{made_of}' WHERE id = '{id}'"
    ));
    server.restart().await;
    eventually(|| server.staged().is_empty()).await;
    assert_eq!(content(client, &bytes).await.unwrap(), bytes);
    assert_eq!(upload.offset().await, bytes.len());
}

/// An upload that a database's outage catches at its end is completed when it is asked about.
#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_could_not_be_recorded_is_completed_later() {
    for kind in [Kind::MariaDb, Kind::Postgres] {
        let (server, proxy) = Server::start_behind_proxy(kind).await;
        let client = server.client();
        let bytes = random(1_000_000);
        let upload = TusUpload::begin(client, bytes.len(), &[]).await;
        let half = bytes.len() / 2;
        assert_eq!(upload.append(0, bytes[..half].to_vec()).await.status, 204);
        // The commit is made, and its answer is lost.
        proxy.lose_answers_to_commits();
        let answer = upload.append(half, bytes[half..].to_vec()).await;
        answer.problem(503, "unavailable");
        proxy.mend();
        sleep(Duration::from_millis(1200)).await;
        let file = format!("/files/{}", digests(&bytes).sha1);
        assert_eq!(upload.inspect().await.header("content-location"), file);
        let content = client.get(&format!("{file}/content")).await;
        assert!(content.body == bytes);
        server.check_is_clean();
        server.stop().await;
    }
}

/// Uploads that are completed after their last request.
#[tokio::test]
async fn an_upload_that_is_refused_when_it_is_completed_later_is_over() {
    let server = Server::start(Kind::Sqlite, &[]).await;
    let client = server.client();
    let first = include_bytes!("collision/1.bin").to_vec();
    let second = include_bytes!("collision/2.bin").to_vec();
    assert_eq!(client.upload("1.bin", first).await.status, 201);
    let sha1 = digests(b"something else").sha1.to_string();
    let metadata = [("sha1", sha1.as_str())];
    for (metadata, status) in [(&[][..], 409), (&metadata[..], 422)] {
        let upload = TusUpload::begin(client, second.len(), metadata).await;
        assert_eq!(upload.append(0, second[..1].to_vec()).await.status, 204);
        let id = upload.url.rsplit('/').next().unwrap();
        let part = server.data().join("uploads").join(format!("{id}.part"));
        fs::write(part, &second).unwrap();
        assert_eq!(upload.inspect().await.status, status);
        assert_eq!(upload.inspect().await.status, 410);
    }
    let begin = TusUpload::request_at(client, Method::POST, "/tus")
        .header("upload-length", second.len())
        .header("content-type", "application/offset+octet-stream");
    let refused = client.send(begin.body(second)).await;
    refused.problem(409, "digest-collision");
    server.finish().await;
}
