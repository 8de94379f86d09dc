//! Crashes: all acknowledged files are there, and no others.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::future::join_all;
use harness::{Answer, Ceph, Kind, Server, digests, eventually, random};
use tokio::{sync::mpsc, task::JoinHandle, time::sleep};

/// Kills the service in the middle of a hundred uploads, several times.
async fn nothing_acknowledged_is_lost(kind: Kind) {
    let server = Server::start(kind, &[]).await;
    let client = server.client().clone();
    let mut acknowledged = Vec::new();
    let done = Arc::new(AtomicUsize::new(0));
    for round in 0..4_u64 {
        let uploads = (0..100).map(|number: usize| {
            let (client, done) = (client.clone(), Arc::clone(&done));
            tokio::spawn(async move {
                // Most are small; some take more than a batch, and some are the same.
                let size = if number.is_multiple_of(10) {
                    1_500_000
                } else {
                    2_000 + number
                };
                let bytes = if number.is_multiple_of(7) {
                    vec![7; size]
                } else {
                    random(size)
                };
                let request = client.request(reqwest::Method::POST, "/files?file_name=a.bin");
                let answer = client.try_send(request.body(bytes.clone())).await.ok()?;
                // nginx answers while the service is down.
                if answer.status == 502 {
                    return None;
                }
                assert!(answer.status.is_success(), "{}", answer.text());
                done.fetch_add(1, Ordering::Relaxed);
                Some(bytes)
            })
        });
        let uploads = tokio::spawn(join_all(uploads));
        sleep(Duration::from_millis(40 + 90 * round)).await;
        // Even on a slow machine some uploads are complete by the last round.
        while round == 3 && done.load(Ordering::Relaxed) == 0 {
            sleep(Duration::from_millis(1)).await;
        }
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
        assert!(
            content.status == 200 && content.body == *bytes,
            "{sha1} is lost"
        );
    }
    // A server may still commit what its client had asked for, so those bytes wait.
    if kind == Kind::Sqlite {
        assert!(
            server.staged().is_empty(),
            "leftovers are swept at the start"
        );
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

/// An upload whose body comes when the test says so.
struct SlowUpload {
    pieces: mpsc::Sender<std::io::Result<Vec<u8>>>,
    answer: JoinHandle<Answer>,
}

impl SlowUpload {
    /// Begins it, and sends enough for the server to write some of it.
    async fn begin(server: &Server, bytes: Vec<u8>) -> Self {
        let (pieces, receiver) = mpsc::channel(1);
        let body = futures_util::stream::unfold(receiver, |mut receiver| async {
            receiver.recv().await.map(|piece| (piece, receiver))
        });
        let client = server.client().clone();
        let answer = tokio::spawn(async move {
            client
                .upload_raw("a.bin", reqwest::Body::wrap_stream(body))
                .await
        });
        pieces.send(Ok(bytes)).await.unwrap();
        server.until_one_is_coming().await;
        Self { pieces, answer }
    }

    async fn end(self, bytes: Vec<u8>) -> Answer {
        self.pieces.send(Ok(bytes)).await.unwrap();
        drop(self.pieces);
        self.answer.await.unwrap()
    }
}

#[tokio::test]
async fn a_running_request_is_finished_before_the_service_stops() {
    let server = Server::start(Kind::Sqlite, &[]).await;
    let bytes = random(3_000_000);
    let upload = SlowUpload::begin(&server, bytes[..1_000_000].to_vec()).await;
    let sending = async {
        sleep(Duration::from_millis(500)).await;
        upload.end(bytes[1_000_000..].to_vec()).await
    };
    let ((), answer) = futures_util::future::join(server.stop(), sending).await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    server.restart().await;
    let sha1 = digests(&bytes).sha1;
    let content = server.client().get(&format!("/files/{sha1}/content")).await;
    assert!(content.body == bytes);
    server.finish().await;
}

#[tokio::test]
async fn a_service_that_is_told_twice_stops_at_once() {
    let server = Server::start(Kind::Sqlite, &[]).await;
    let upload = SlowUpload::begin(&server, random(1_000_000)).await;
    server.stop_at_once().await;
    upload.answer.abort();
    server.restart().await;
    // The one that starts tries its disk, which is a file there for a moment.
    eventually(|| server.staged().is_empty()).await;
    assert!(server.objects().is_empty());
    server.finish().await;
}

#[tokio::test]
async fn a_second_process_leaves_the_first_ones_uploads_alone() {
    let server = Server::start(Kind::Sqlite, &[]).await;
    let bytes = random(2_000_000);
    let upload = SlowUpload::begin(&server, bytes[..1_500_000].to_vec()).await;
    server.check_is_clean();
    let own = server.staged();
    let (mut second, _) = server.second_process().await;
    if !Ceph::is_primary() {
        // The one that starts tries its disk, which is a file there for a moment. What it took away
        // would not come back.
        eventually(|| server.staged() == own).await;
    }
    second.kill().await.unwrap();
    assert_eq!(upload.end(bytes[1_500_000..].to_vec()).await.status, 201);
    server.finish().await;
}
