//! What it costs to upload in pieces, and not to upload at all.

use std::time::Duration;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use domain::{
    ContentHasher, Sha1,
    possession::{Nonce, Prover},
};
use futures_util::StreamExt as _;
use serde_json::{Value, json};

use crate::{
    MIB, median,
    server::{Server, unique},
    timed,
};

const SIZE: u64 = 1024 * MIB;
const CHUNK: u64 = 8 * MIB;
const ROUNDS: usize = 5;
const CLAIMS: u32 = 50;

pub(crate) async fn measure() {
    println!("## 1 GiB in requests of 8 MiB, medians of {ROUNDS}\n");
    let server = Server::start().await;
    server.upload(MIB).await;
    let (mut plain, mut pieces, mut ordinary, mut last) = (vec![], vec![], vec![], vec![]);
    let mut memory = 0;
    for _ in 0..ROUNDS {
        plain.push(timed(server.upload(SIZE)).await.1);
        let before = server.memory();
        server.forget_peak();
        let (requests, took) = timed(upload_in_pieces(&server)).await;
        memory = memory.max(server.peak().saturating_sub(before));
        pieces.push(took);
        let (end, middle) = requests.split_last().unwrap();
        last.push(*end);
        ordinary.push(median(middle.to_vec()));
    }
    let sync = median((0..ROUNDS).map(|_| sync_of_a_chunk(&server)).collect());
    let [plain, pieces, ordinary, last] = [plain, pieces, ordinary, last].map(median);
    println!("in one request: {plain:.2?}");
    println!("in requests of 8 MiB: {pieces:.2?}");
    verdict("requests of 8 MiB / one", pieces, plain, 1.15);
    println!("memory: {:.1} MiB", memory as f64 / MIB as f64);
    println!("an ordinary request: {ordinary:.1?}, the last one: {last:.1?}");
    println!("writing and syncing 8 MiB: {sync:.1?}");
    verdict(
        "the last request / an ordinary one and a sync",
        last,
        ordinary + sync,
        1.0,
    );

    println!("\n## claims on 1 GiB\n");
    let file = File::new(&server).await;
    let before = server.processor_time();
    let ((), took) = timed(async {
        for _ in 0..CLAIMS {
            file.remove_and_claim(&server).await;
        }
    })
    .await;
    let spent = server.processor_time().abs_diff(before) / CLAIMS;
    println!(
        "{:.2?} each, deleting the entry before it included",
        took / CLAIMS
    );
    println!("processor time of the service: {spent:.2?} each");
    println!();
    server.stop().await;
}

fn verdict(what: &str, one: Duration, other: Duration, limit: f64) {
    let ratio = one.as_secs_f64() / other.as_secs_f64();
    let verdict = if ratio <= limit { "within" } else { "OVER" };
    println!("{what}: {ratio:.2}, {verdict} {limit}");
}

/// Uploads by tus, and gives how long each request took.
async fn upload_in_pieces(server: &Server) -> Vec<Duration> {
    let tus = |method, url: &str| {
        let request = server
            .client
            .request(method, format!("{}{url}", server.base));
        request.header("tus-resumable", "1.0.0")
    };
    let begin = tus(reqwest::Method::POST, "/tus").header("upload-length", SIZE);
    let answer = begin.send().await.unwrap();
    let url = answer.headers()["location"].to_str().unwrap().to_owned();
    let mut requests = Vec::new();
    for offset in (0..SIZE).step_by(usize::try_from(CHUNK).unwrap()) {
        let body = reqwest::Body::wrap_stream(unique(CHUNK).map(Ok::<_, std::io::Error>));
        let append = tus(reqwest::Method::PATCH, &url)
            .header("upload-offset", offset)
            .header("content-length", CHUNK)
            .header("content-type", "application/offset+octet-stream");
        let (answer, took) = timed(append.body(body).send()).await;
        assert_eq!(answer.unwrap().status(), 204);
        requests.push(took);
    }
    requests
}

/// The time to write and sync a chunk on the service's disk.
fn sync_of_a_chunk(server: &Server) -> Duration {
    use std::io::Write as _;
    let path = server.folder().join("synced");
    let mut file = std::fs::File::create(&path).unwrap();
    let began = std::time::Instant::now();
    file.write_all(&vec![1; usize::try_from(CHUNK).unwrap()])
        .unwrap();
    file.sync_all().unwrap();
    let took = began.elapsed();
    std::fs::remove_file(path).unwrap();
    took
}

/// A file of which its bytes are known here, too.
struct File {
    sha1: Sha1,
    bytes: Vec<u8>,
}

impl File {
    async fn new(server: &Server) -> Self {
        let bytes = unique(SIZE).concat().await;
        let mut hasher = ContentHasher::default();
        hasher.update(&bytes);
        let url = format!("{}/files?file_name=a.bin", server.base);
        let upload = server.client.post(url).body(bytes.clone());
        assert_eq!(upload.send().await.unwrap().status(), 201);
        Self {
            sha1: hasher.finish().sha1,
            bytes,
        }
    }

    async fn remove_and_claim(&self, server: &Server) {
        let url = |path: String| format!("{}{path}", server.base);
        let removed = server.client.delete(url(format!("/files/{}", self.sha1)));
        assert_eq!(removed.send().await.unwrap().status(), 204);
        let claim = json!({"file_sha1": self.sha1, "file_size": SIZE, "file_name": "a.bin"});
        let claimed = server.client.post(url("/claims".to_owned())).json(&claim);
        let challenge: Value = claimed.send().await.unwrap().json().await.unwrap();
        let id = challenge["id"].as_str().unwrap();
        let proof = json!({"proof": self.prove(&challenge)});
        let proven = server.client.put(url(format!("/claims/{id}"))).json(&proof);
        assert_eq!(proven.send().await.unwrap().status(), 201);
    }

    fn prove(&self, challenge: &Value) -> String {
        let nonce = BASE64_STANDARD.decode(challenge["nonce"].as_str().unwrap());
        let nonce: [u8; 32] = nonce.unwrap().try_into().unwrap();
        let id = challenge["id"].as_str().unwrap().parse().unwrap();
        let mut prover = Prover::new(&Nonce::from(nonce), &id, &self.sha1);
        for range in challenge["ranges"].as_array().unwrap() {
            let [offset, length] = ["offset", "length"]
                .map(|name| usize::try_from(range[name].as_u64().unwrap()).unwrap());
            prover.update(&self.bytes[offset..offset + length]);
        }
        prover.finish().to_string()
    }
}
