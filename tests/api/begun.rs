//! Uploads and a claim that have begun, for tests of faults and limits.

use std::path::Path;

use harness::{Answer, Client, Server, TusUpload, digests, random};
use reqwest::Method;

/// Uploads and a claim that have begun.
pub(crate) struct Begun {
    pub(crate) tus: String,
    /// An upload with five of ten bytes.
    pub(crate) full: String,
    pub(crate) http: String,
    claim: String,
}

impl Begun {
    pub(crate) async fn new(server: &Server) -> Self {
        let client = server.client();
        let tus = TusUpload::begin(client, 10, &[]).await;
        let full = TusUpload::begin(client, 10, &[]).await;
        assert_eq!(full.append(0, "12345").await.status, 204);
        let http = client.request(Method::POST, "/files?file_name=a");
        let http = client.send(http.header("upload-complete", "?0")).await;
        let claim = client.request(Method::POST, "/claims").json(&a_claim());
        let claim = client.send(claim).await;
        Self {
            tus: tus.url,
            full: full.url,
            http: http.header("location").to_owned(),
            claim: claim.header("location").to_owned(),
        }
    }

    /// As if the service had died before it answered for the last byte.
    pub(crate) fn receive_the_rest(&self, data: &Path) {
        let id = self.full.rsplit('/').next().unwrap();
        let part = data.join("uploads").join(format!("{id}.part"));
        std::fs::write(part, "1234567890").unwrap();
    }

    /// The requests that need a working database with free space.
    pub(crate) fn requests(&self, client: &Client) -> Vec<reqwest::RequestBuilder> {
        let tus = |method, url: &str| TusUpload::request_at(client, method, url);
        let http = |method| client.request(method, &self.http);
        vec![
            tus(Method::POST, "/tus").header("upload-length", 5),
            TusUpload::at(client, &self.tus)
                .appending(0)
                .body(random(10)),
            http(Method::PATCH)
                .header("upload-offset", 0)
                .header("upload-complete", "?1")
                .header("content-type", "application/partial-upload")
                .body(random(10)),
            client.request(Method::POST, "/claims").json(&a_claim()),
            client.request(Method::PUT, &self.claim).json(&proof()),
            tus(Method::DELETE, &self.tus),
            http(Method::DELETE),
        ]
    }

    pub(crate) async fn end(&self, client: &Client) {
        for url in [&self.tus, &self.full] {
            let _ = TusUpload::at(client, url).remove().await;
        }
        let remove = client.request(Method::DELETE, &self.http);
        let _ = client.send(remove).await;
    }
}

pub(crate) fn a_claim() -> serde_json::Value {
    let sha1 = digests(b"x").sha1;
    serde_json::json!({"file_sha1": sha1, "file_size": 1, "file_name": "a"})
}

/// A proof that is wrong.
pub(crate) fn proof() -> serde_json::Value {
    serde_json::json!({"proof": digests(b"x").sha256})
}

/// Sends requests one after the other.
pub(crate) async fn send_all(
    client: &Client,
    requests: Vec<reqwest::RequestBuilder>,
) -> Vec<Answer> {
    let mut answers = Vec::new();
    for request in requests {
        answers.push(client.send(request).await);
    }
    answers
}
