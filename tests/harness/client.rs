//! A client that checks every answer against the contract.

use std::time::Duration;

use domain::{FileMeta, Sha1};
use reqwest::{
    Certificate, Method, RequestBuilder, StatusCode,
    header::{CONTENT_TYPE, HeaderMap},
    multipart::{Form, Part},
};
use serde_json::Value;

use crate::{contract::Contract, stack::is_full};

/// A client of a server.
#[derive(Debug, Clone)]
pub struct Client {
    base: String,
    http: reqwest::Client,
    contract: Contract,
    token: Option<String>,
}

/// A complete answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status code.
    pub status: StatusCode,
    /// The header.
    pub headers: HeaderMap,
    /// The body.
    pub body: bytes::Bytes,
}

/// Begins to make a client of HTTP.
///
/// TLS is compiled in for the service's own client, so each program has to choose a provider.
pub fn http() -> reqwest::ClientBuilder {
    // An error means that a provider is installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().no_proxy()
}

/// Returns whether a request may be sent twice.
fn is_repeatable(request: &RequestBuilder) -> bool {
    let request = request.try_clone().and_then(|request| request.build().ok());
    request.is_some_and(|request| request.method().is_safe())
}

impl Client {
    pub(crate) async fn new(base: String) -> Self {
        Self::trusting(base, None).await
    }

    /// A client that trusts one certificate only, in PEM.
    pub(crate) async fn trusting(base: String, certificate: Option<&[u8]>) -> Self {
        let mut http = http()
            .timeout(Duration::from_mins(1))
            .redirect(reqwest::redirect::Policy::none());
        if let Some(certificate) = certificate {
            http = http.tls_certs_only([Certificate::from_pem(certificate).unwrap()]);
        }
        let http = http.build().unwrap();
        let contract = http
            .get(format!("{base}/openapi.json"))
            .send()
            .await
            .unwrap();
        Self {
            contract: Contract::parse(&contract.bytes().await.unwrap()),
            base,
            http,
            token: None,
        }
    }

    /// The same, with a token.
    #[must_use]
    pub fn with_token(&self, token: &str) -> Self {
        Self {
            token: Some(token.to_owned()),
            ..self.clone()
        }
    }

    /// The same, by way of another address, such as a proxy's.
    #[must_use]
    pub fn by_way_of(&self, base: &str) -> Self {
        Self {
            base: base.to_owned(),
            ..self.clone()
        }
    }

    /// The beginning of its URLs.
    #[must_use]
    pub fn base(&self) -> &str {
        &self.base
    }

    /// The URL of a path.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// Begins a request.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method, self.url(path));
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    /// Sends a request, and checks the answer against the contract.
    ///
    /// A `GET` is followed by a `HEAD`, whose answer has to be the same without a body.
    pub async fn send(&self, request: RequestBuilder) -> Answer {
        let repeated = request.try_clone();
        let again = request.try_clone().filter(is_repeatable);
        let answer = match (self.try_send(request).await, again) {
            // An nginx that reads its configuration again closes idle connections, on one of which a
            // request may be.
            (Err(error), Some(again)) if is_full() && error.is_request() && !error.is_timeout() => {
                self.try_send(again).await.unwrap()
            }
            (answer, _) => answer.unwrap(),
        };
        if let Some(repeated) = repeated {
            self.compare_with_head(repeated, &answer).await;
        }
        answer
    }

    async fn compare_with_head(&self, repeated: RequestBuilder, answer: &Answer) {
        let mut request = repeated.build().unwrap();
        if *request.method() != Method::GET {
            return;
        }
        *request.method_mut() = Method::HEAD;
        let ranged = request.headers_mut().remove("range").is_some();
        let request = RequestBuilder::from_parts(self.http.clone(), request);
        let head = self.try_send(request).await.unwrap();
        assert!(head.body.is_empty());
        if ranged && matches!(answer.status.as_u16(), 206 | 416) {
            assert_eq!(head.status, StatusCode::OK, "there is no part of a header");
            return;
        }
        if answer.status == StatusCode::TOO_MANY_REQUESTS {
            return;
        }
        if answer.status == StatusCode::TEMPORARY_REDIRECT {
            assert_eq!(
                head.status,
                StatusCode::OK,
                "a header is told by the service"
            );
            return;
        }
        if answer.status == StatusCode::INTERNAL_SERVER_ERROR {
            // Only reading the bytes finds that they are damaged.
            return;
        }
        assert_eq!(head.status, answer.status);
        for name in ["content-type", "etag", "link", "repr-digest", "retry-after"] {
            assert_eq!(head.header(name), answer.header(name), "{name}");
        }
    }

    /// As [`Client::send`], for a server that may be killed.
    ///
    /// # Errors
    ///
    /// When no complete answer came.
    pub async fn try_send(&self, request: RequestBuilder) -> reqwest::Result<Answer> {
        let request = request.build()?;
        let path = request.url().path().to_owned();
        let meant = request.headers().get("x-http-method-override");
        let meant = meant.map(|method| Method::from_bytes(method.as_bytes()).unwrap());
        let method = meant.unwrap_or_else(|| request.method().clone());
        let response = self.http.execute(request).await?;
        let answer = Answer {
            status: response.status(),
            headers: response.headers().clone(),
            body: response.bytes().await?,
        };
        let media_type = answer
            .headers
            .get(CONTENT_TYPE)
            .map(|value| value.to_str().unwrap());
        let media_type = media_type.filter(|_| !answer.body.is_empty());
        self.contract
            .verify(&method, &path, answer.status, media_type);
        self.contract.verify_caching(&method, &path, &answer);
        Ok(answer)
    }

    /// Sends `GET`.
    pub async fn get(&self, path: &str) -> Answer {
        self.send(self.request(Method::GET, path)).await
    }

    /// Uploads a file as a form.
    pub async fn upload(&self, name: &str, bytes: impl Into<Vec<u8>>) -> Answer {
        let part = Part::bytes(bytes.into()).file_name(name.to_owned());
        let form = Form::new().part("file", part);
        self.send(self.request(Method::POST, "/files").multipart(form))
            .await
    }

    /// Uploads a file as the request's body.
    pub async fn upload_raw(&self, name: &str, bytes: impl Into<reqwest::Body>) -> Answer {
        let request = self
            .request(Method::POST, "/files")
            .query(&[("file_name", name)]);
        self.send(request.body(bytes)).await
    }

    /// Uploads a new file, and returns its SHA-1 and its bytes.
    pub async fn upload_some(&self, name: &str) -> (Sha1, Vec<u8>) {
        let bytes = crate::unique_text().into_bytes();
        let answer = self.upload(name, bytes.clone()).await;
        assert_eq!(answer.status, StatusCode::CREATED);
        (answer.meta().file_sha1, bytes)
    }

    /// Sends a change as a merge patch.
    pub async fn patch(&self, sha1: &Sha1, patch: &Value) -> Answer {
        let request = self.request(Method::PATCH, &format!("/files/{sha1}"));
        let request = request.header(CONTENT_TYPE, "application/merge-patch+json");
        self.send(request.body(patch.to_string())).await
    }

    /// Deletes a file.
    pub async fn delete(&self, sha1: &Sha1) -> Answer {
        self.send(self.request(Method::DELETE, &format!("/files/{sha1}")))
            .await
    }

    /// All files of the listing, page by page.
    pub async fn list_all(&self, query: &str) -> Vec<FileMeta> {
        let mut files = Vec::new();
        let mut path = format!("/files?{query}");
        loop {
            let page = self.get(&path).await;
            assert_eq!(page.status, StatusCode::OK, "{}", page.text());
            let mut page = page.json();
            let shown: Vec<FileMeta> = serde_json::from_value(page["files"].take()).unwrap();
            files.extend(shown);
            match page["next"].as_str() {
                Some(next) => path = format!("/files?{query}&cursor={next}"),
                None => return files,
            }
        }
    }
}

impl Answer {
    /// The body as JSON.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as a file's metadata.
    #[must_use]
    pub fn meta(&self) -> FileMeta {
        serde_json::from_value(self.json()).unwrap()
    }

    /// A header's value, or an empty string.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }

    /// Asserts that this is a problem of a type, and returns its detail.
    pub fn problem(&self, status: u16, kind: &str) -> String {
        let text = self.text();
        assert_eq!(self.status, status, "{text}");
        assert_eq!(
            self.header("content-type"),
            "application/problem+json",
            "{text}"
        );
        let problem = self.json();
        assert_eq!(
            problem["type"],
            format!("urn:fileserver:problem:{kind}"),
            "{text}"
        );
        assert_eq!(problem["status"], status, "{text}");
        problem["detail"].as_str().unwrap().to_owned()
    }
}
