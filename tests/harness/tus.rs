//! An upload by tus, request by request.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use reqwest::{Method, RequestBuilder, StatusCode};

use crate::{Answer, Client};

/// An upload by tus.
#[derive(Debug, Clone)]
pub struct TusUpload {
    client: Client,
    /// Its URL.
    pub url: String,
}

impl TusUpload {
    /// Begins an upload of a length.
    pub async fn begin(client: &Client, length: usize, metadata: &[(&str, &str)]) -> Self {
        let answer = client.send(Self::beginning(client, length, metadata)).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text());
        Self::at(client, answer.header("location"))
    }

    /// A request that begins one.
    pub fn beginning(client: &Client, length: usize, metadata: &[(&str, &str)]) -> RequestBuilder {
        Self::request_at(client, Method::POST, "/tus")
            .header("upload-length", length)
            .header("upload-metadata", encode(metadata))
    }

    /// Goes on with the upload at a URL.
    #[must_use]
    pub fn at(client: &Client, url: &str) -> Self {
        Self {
            client: client.clone(),
            url: url.to_owned(),
        }
    }

    /// Begins a request with the protocol's version.
    pub fn request_at(client: &Client, method: Method, url: &str) -> RequestBuilder {
        let request = client.request(method, url);
        request.header("tus-resumable", "1.0.0")
    }

    /// Asks for its offset.
    pub async fn inspect(&self) -> Answer {
        self.client.send(self.inspecting()).await
    }

    /// A request for its offset.
    pub fn inspecting(&self) -> RequestBuilder {
        Self::request_at(&self.client, Method::HEAD, &self.url)
    }

    /// Its offset.
    pub async fn offset(&self) -> usize {
        let answer = self.inspect().await;
        assert_eq!(answer.status, StatusCode::OK);
        answer.header("upload-offset").parse().unwrap()
    }

    /// Begins a request that appends.
    pub fn appending(&self, offset: usize) -> RequestBuilder {
        Self::request_at(&self.client, Method::PATCH, &self.url)
            .header("upload-offset", offset)
            .header("content-type", "application/offset+octet-stream")
    }

    /// Appends bytes.
    pub async fn append(&self, offset: usize, bytes: impl Into<reqwest::Body>) -> Answer {
        self.client.send(self.appending(offset).body(bytes)).await
    }

    /// Removes it.
    pub async fn remove(&self) -> Answer {
        let request = Self::request_at(&self.client, Method::DELETE, &self.url);
        self.client.send(request).await
    }
}

/// Encodes metadata as the protocol's header has them.
fn encode(metadata: &[(&str, &str)]) -> String {
    let pairs: Vec<String> = metadata
        .iter()
        .map(|(key, value)| format!("{key} {}", BASE64_STANDARD.encode(value)))
        .collect();
    pairs.join(",")
}
