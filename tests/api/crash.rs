//! Crashes: what was acknowledged is there, and nothing else is.

use std::time::Duration;

use futures_util::future::join_all;
use harness::{Kind, Server, digests, random};
use tokio::time::sleep;

/// Kills the service in the middle of a hundred uploads, several times.
async fn nothing_acknowledged_is_lost(kind: Kind) {
    let server = Server::start(kind, &[]).await;
    let client = server.client().clone();
    let mut acknowledged = Vec::new();
    for round in 0..4_u64 {
        let uploads = (0..100).map(|number: usize| {
            let client = client.clone();
            tokio::spawn(async move {
                // Most are small; some take more than a batch, and some are the same.
                let size = if number % 10 == 0 { 1_500_000 } else { 2_000 + number };
                let bytes = if number % 7 == 0 { vec![7; size] } else { random(size) };
                let request = client.request(reqwest::Method::POST, "/files?file_name=a.bin");
                let answer = client.try_send(request.body(bytes.clone())).await.ok()?;
                assert!(answer.status.is_success(), "{}", answer.text());
                Some(bytes)
            })
        });
        let uploads = tokio::spawn(join_all(uploads));
        sleep(Duration::from_millis(40 + 90 * round)).await;
        server.kill().await;
        let done = uploads.await.unwrap();
        acknowledged.extend(done.into_iter().filter_map(Result::unwrap));
        server.restart().await;
        server.check_is_clean();
    }
    assert!(!acknowledged.is_empty(), "some uploads came to their end");
    for bytes in &acknowledged {
        let sha1 = digests(bytes).sha1;
        let content = client.get(&format!("/files/{sha1}/content")).await;
        assert!(content.status == 200 && content.body == *bytes, "{sha1} is lost");
    }
    // A server may still commit what its client had asked for, so those bytes wait.
    if kind == Kind::Sqlite {
        assert!(server.staged().is_empty(), "leftovers are swept at the start");
    }
    server.stop().await;
    server.check_is_clean();
}

#[tokio::test]
async fn nothing_acknowledged_is_lost_with_sqlite() {
    nothing_acknowledged_is_lost(Kind::Sqlite).await;
}

#[tokio::test]
async fn nothing_acknowledged_is_lost_with_mariadb() {
    nothing_acknowledged_is_lost(Kind::MariaDb).await;
}

#[tokio::test]
async fn nothing_acknowledged_is_lost_with_postgres() {
    nothing_acknowledged_is_lost(Kind::Postgres).await;
}

#[tokio::test]
async fn a_running_request_is_finished_before_the_service_stops() {
    let server = Server::start(Kind::Sqlite, &[]).await;
    let client = server.client().clone();
    let bytes = random(3_000_000);
    let (sender, receiver) = tokio::sync::mpsc::channel::<std::io::Result<Vec<u8>>>(1);
    let body = futures_util::stream::unfold(receiver, |mut receiver| async {
        receiver.recv().await.map(|piece| (piece, receiver))
    });
    let upload = tokio::spawn(async move {
        client.upload_raw("a.bin", reqwest::Body::wrap_stream(body)).await
    });
    sender.send(Ok(bytes[..1_000_000].to_vec())).await.unwrap();
    let stopping = async {
        server.stop().await;
    };
    let sending = async {
        sleep(Duration::from_millis(300)).await;
        sender.send(Ok(bytes[1_000_000..].to_vec())).await.unwrap();
        drop(sender);
        upload.await.unwrap()
    };
    let ((), answer) = futures_util::future::join(stopping, sending).await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    server.restart().await;
    let sha1 = digests(&bytes).sha1;
    let content = server.client().get(&format!("/files/{sha1}/content")).await;
    assert!(content.body == bytes);
    server.finish().await;
}

#[tokio::test]
async fn a_second_process_leaves_the_first_ones_uploads_alone() {
    let server = Server::start(Kind::Sqlite, &[]).await;
    let client = server.client().clone();
    let bytes = random(2_000_000);
    let (sender, receiver) = tokio::sync::mpsc::channel::<std::io::Result<Vec<u8>>>(1);
    let body = futures_util::stream::unfold(receiver, |mut receiver| async {
        receiver.recv().await.map(|piece| (piece, receiver))
    });
    let upload = tokio::spawn(async move {
        client.upload_raw("a.bin", reqwest::Body::wrap_stream(body)).await
    });
    sender.send(Ok(bytes[..1_500_000].to_vec())).await.unwrap();
    sleep(Duration::from_millis(200)).await;
    assert_eq!(server.staged().len(), 1);
    server.check_is_clean();
    assert_eq!(server.staged().len(), 1, "another process is using it");
    sender.send(Ok(bytes[1_500_000..].to_vec())).await.unwrap();
    drop(sender);
    assert_eq!(upload.await.unwrap().status, 201);
    server.finish().await;
}
