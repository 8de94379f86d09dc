//! A rolling restart of replicas, which no client notices.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use harness::{
    Answer, Client, Kind, Nginx, Replica, TusUpload, UNLIMITED, digests, random, unique_text,
};
use reqwest::{Method, RequestBuilder};
use serde_json::json;
use tokio::time::sleep;

use crate::{linking::share, stateless};

/// The number of restarts of each replica.
fn rounds() -> usize {
    let rounds = std::env::var("TEST_ROLLING_ROUNDS").ok();
    rounds.map_or(2, |rounds| rounds.parse().unwrap())
}

/// Clients that send requests all the time.
#[derive(Clone)]
struct Traffic {
    client: Client,
    is_over: Arc<AtomicBool>,
    made: Arc<AtomicUsize>,
    failed: Arc<Mutex<Vec<String>>>,
}

impl Traffic {
    /// Makes a request that cannot fail.
    async fn ask(&self, request: RequestBuilder, status: u16) -> Option<Answer> {
        let kept = request.try_clone().map(|request| request.build().unwrap());
        let what = kept.map(|request| format!("{} {}", request.method(), request.url().path()));
        let began = Instant::now();
        let told = match self.client.try_send(request).await {
            Ok(answer) if answer.status == status => {
                self.made.fetch_add(1, Ordering::Relaxed);
                return Some(answer);
            }
            Ok(answer) => format!("{}: {}", answer.status, answer.text()),
            Err(error) => format!("{error:?}"),
        };
        let took = began.elapsed();
        self.failed
            .lock()
            .unwrap()
            .push(format!("{what:?} after {took:?}: {told}"));
        None
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, path)
    }

    async fn repeat(self, pause: Duration, round: impl AsyncFn(&Self) -> Option<()>) {
        while !self.is_over.load(Ordering::Relaxed) {
            round(&self).await;
            sleep(pause).await;
        }
    }

    /// Uploads, reads, renames, downloads, shares and deletes a file.
    async fn file(&self) -> Option<()> {
        let text = unique_text();
        let post = self
            .request(Method::POST, "/files?file_name=a")
            .body(text.clone());
        let sha1 = self.ask(post, 201).await?.meta().file_sha1;
        let path = format!("/files/{sha1}");
        self.ask(self.request(Method::GET, &path), 200).await?;
        let rename = self
            .request(Method::PATCH, &path)
            .json(&json!({"file_name": "b"}));
        self.ask(rename, 200).await?;
        self.ask(self.request(Method::GET, "/files?limit=5"), 200)
            .await?;
        let content = self.request(Method::GET, &format!("{path}/content"));
        assert_eq!(self.ask(content, 200).await?.text(), text);
        let link = self
            .ask(share(&self.client, &sha1.to_string()), 201)
            .await?;
        let link = link.json()["url"].as_str().unwrap().to_owned();
        assert_eq!(
            self.ask(self.request(Method::GET, &link), 200)
                .await?
                .text(),
            text
        );
        let other = unique_text();
        let path = format!("/files/{}", digests(other.as_bytes()).sha1);
        let put = self.request(Method::PUT, &format!("{path}?file_name=c"));
        self.ask(put.body(other), 201).await?;
        self.ask(self.request(Method::DELETE, &path), 204).await?;
        Some(())
    }

    /// Uploads a file in parts.
    async fn tus(&self) -> Option<()> {
        let bytes = random(300_000);
        let creation = TusUpload::request_at(&self.client, Method::POST, "/tus");
        let begun = self
            .ask(creation.header("upload-length", bytes.len()), 201)
            .await?;
        let upload = TusUpload::at(&self.client, begun.header("location"));
        for offset in [0, 100_000, 200_000] {
            let part = bytes[offset..][..100_000].to_vec();
            self.ask(upload.appending(offset).body(part), 204).await?;
        }
        let path = format!("/files/{}/content", digests(&bytes).sha1);
        let content = self.ask(self.request(Method::GET, &path), 200).await?;
        assert!(content.body == bytes);
        Some(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rolling_restart_drops_no_request() {
    let folder = tempfile::tempdir().unwrap();
    let store = [
        ("FILESERVER_STORES_SHARED_KIND", "disk".to_owned()),
        (
            "FILESERVER_STORES_SHARED_PATH",
            folder.path().to_str().unwrap().to_owned(),
        ),
        ("FILESERVER_PRIMARY", "shared".to_owned()),
    ];
    let settings = [("FILESERVER_DRAIN", "2"), ("FILESERVER_ROLE", "worker")];
    let server = stateless::start(Kind::MariaDb, &store, &settings).await;
    let serving = [("FILESERVER_ROLE", "api,upload,download,worker")];
    let mut replicas = Vec::new();
    for _ in 0..3 {
        replicas.push(Replica::of(&server, &serving).await);
    }
    let addresses: Vec<String> = replicas
        .iter()
        .map(|replica| replica.address().to_owned())
        .collect();
    let settings = [&UNLIMITED[..], &[("PROXY_UPSTREAM_IDLE", "1s")]].concat();
    let nginx = Nginx::before_all(&addresses, folder.path(), &settings).await;

    let traffic = Traffic {
        client: replicas[0].client().by_way_of(nginx.base()),
        is_over: Arc::default(),
        made: Arc::default(),
        failed: Arc::default(),
    };
    let mut clients = Vec::new();
    for client in 0..6 {
        // Some leave connections idle for about as long as they are kept.
        let pause = Duration::from_millis([1, 5, 20, 100, 400, 900][client]);
        let file = traffic.clone().repeat(pause, Traffic::file);
        clients.push(tokio::spawn(file));
        let tus = traffic.clone().repeat(pause, Traffic::tus);
        clients.push(tokio::spawn(tus));
    }
    let large = random(20_000_000);
    let meta = traffic
        .client
        .upload_raw("large", large.clone())
        .await
        .meta();
    let path = format!("/files/{}/content", meta.file_sha1);
    clients.push(tokio::spawn(traffic.clone().repeat(
        Duration::from_millis(50),
        async move |traffic: &Traffic| {
            let content = traffic.request(Method::GET, &path);
            let content = traffic.ask(content, 200).await?;
            assert!(content.body == large);
            Some(())
        },
    )));

    for _ in 0..rounds() {
        for replica in &mut replicas {
            replica.stop().await;
            replica.start_again().await;
            assert_eq!(replica.client().get("/readyz").await.status, 200);
        }
    }
    traffic.is_over.store(true, Ordering::Relaxed);
    for client in clients {
        client.await.unwrap();
    }
    let (made, failed) = (&traffic.made, traffic.failed.lock().unwrap().clone());
    let made = made.load(Ordering::Relaxed);
    assert!(failed.is_empty(), "of {made}: {failed:#?}\n{}", nginx.log());
    assert!(made > 500, "{made} requests are no traffic");
    drop((nginx, replicas));
    server.finish().await;
}
