//! Where the keys are read, within bounds.

use std::{fmt, fs::File, io::Read as _, net::IpAddr, path::PathBuf, time::Duration};

use reqwest::{Client, StatusCode, Url, header::ACCEPT, redirect::Policy};

use super::{KeySource, OpenError};

/// How long reading may take.
const TIME: Duration = Duration::from_secs(10);

/// How many bytes a set of keys may have.
const MAX_BYTES: usize = 1024 * 1024;

/// Why no keys could be read.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The file is not there, or not readable.
    #[error("the file cannot be read")]
    File(#[from] std::io::Error),
    /// No answer came, or not all of one.
    #[error("the server cannot be asked")]
    Http(#[source] reqwest::Error),
    /// The server has no keys to give; other addresses that it names are not asked.
    #[error("the server answers with {0}")]
    Status(StatusCode),
    /// It is more than a set of keys can be.
    #[error("there are more than {MAX_BYTES} bytes")]
    TooLarge,
    /// It takes too long.
    #[error("it takes more than {} s", TIME.as_secs())]
    TooSlow,
    /// It is something else. What it is instead is not told: it may be a secret.
    #[error("it is no JWK set, as is seen in line {line}, column {column}")]
    Garbled {
        /// The line, from 1.
        line: usize,
        /// The column, from 1.
        column: usize,
    },
    /// All keys had to be left out, or there are none.
    #[error("there is no usable key")]
    NoKey,
}

/// A key source that is ready to be read.
pub(super) enum Source {
    File(PathBuf),
    Url { http: Client, url: Url },
}

impl Source {
    /// Prepares to read; nothing is asked yet.
    pub(super) fn new(source: &KeySource) -> Result<Self, OpenError> {
        Ok(match source {
            KeySource::File(path) => Self::File(path.clone()),
            KeySource::Url(url) => {
                refuse_unsafe(url).map_err(OpenError::Url)?;
                let http = http(url).map_err(OpenError::Http)?;
                let url = url.clone();
                Self::Url { http, url }
            }
        })
    }

    /// Reads the document with the keys.
    pub(super) async fn read(&self) -> Result<Vec<u8>, Failure> {
        tokio::time::timeout(TIME, self.read_to_end())
            .await
            .map_err(|_| Failure::TooSlow)?
    }

    async fn read_to_end(&self) -> Result<Vec<u8>, Failure> {
        match self {
            Self::File(path) => {
                let path = path.clone();
                tokio::task::spawn_blocking(move || {
                    let mut document = Vec::new();
                    let most = MAX_BYTES as u64 + 1;
                    File::open(path)?.take(most).read_to_end(&mut document)?;
                    if document.len() > MAX_BYTES {
                        return Err(Failure::TooLarge);
                    }
                    Ok(document)
                })
                .await
                .map_err(std::io::Error::other)?
            }
            Self::Url { http, url } => fetch(http, url.clone()).await,
        }
    }
}

/// For logs: without what may be secret in a URL.
impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Url { url, .. } => {
                write!(f, "{}{}", url.origin().ascii_serialization(), url.path())
            }
        }
    }
}

async fn fetch(http: &Client, url: Url) -> Result<Vec<u8>, Failure> {
    let unreachable = |error: reqwest::Error| Failure::Http(error.without_url());
    let request = http
        .get(url)
        .header(ACCEPT, "application/jwk-set+json, application/json");
    let mut response = request.send().await.map_err(unreachable)?;
    if response.status() != StatusCode::OK {
        return Err(Failure::Status(response.status()));
    }
    let mut document = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(unreachable)? {
        if document.len() + chunk.len() > MAX_BYTES {
            return Err(Failure::TooLarge);
        }
        document.extend_from_slice(&chunk);
    }
    Ok(document)
}

/// Whoever can answer for a URL chooses the keys, so it is proven who does.
fn refuse_unsafe(url: &Url) -> Result<(), &'static str> {
    if !url.username().is_empty() || url.password().is_some() {
        return Err("has a user's name or password");
    }
    match url.scheme() {
        "https" => Ok(()),
        "http" if is_loopback(url) => Ok(()),
        _ => Err("does not begin with `https://`; `http://` is for this machine only"),
    }
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || address.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

fn http(url: &Url) -> reqwest::Result<Client> {
    // It is an error if there is one already, which will do then.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut builder = Client::builder()
        .user_agent(concat!("fileserver/", env!("CARGO_PKG_VERSION")))
        .redirect(Policy::none())
        // A connection belongs to the thread that made it, and the next one is made by another.
        .pool_max_idle_per_host(0);
    if url.scheme() == "http" {
        // A machine without any certificates can still do without; and what is on this machine is
        // not asked of a proxy.
        builder = builder.tls_certs_only([]).no_proxy();
    }
    builder.build()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{super::testing::Publisher, *};

    #[test]
    fn keys_come_from_whoever_can_prove_to_be_asked() {
        for url in [
            "https://issuer.example/jwks",
            "http://localhost/jwks",
            "http://127.0.0.1:1/jwks",
            "http://[::1]:1/jwks",
        ] {
            assert_eq!(refuse_unsafe(&url.parse().unwrap()), Ok(()), "{url}");
        }
        for url in [
            "http://issuer.example/jwks",
            "http://127.0.0.1.example/jwks",
            "http://localhost.example/jwks",
            "http://192.168.0.1/jwks",
            "file:///etc/keys",
            "data:,{}",
            "https://me:secret@issuer.example/jwks",
        ] {
            assert!(refuse_unsafe(&url.parse().unwrap()).is_err(), "{url}");
        }
    }

    #[test]
    fn a_url_is_logged_without_its_query() {
        let url = "http://localhost/jwks?key=secret".parse().unwrap();
        let source = Source::new(&KeySource::Url(url)).unwrap();
        assert_eq!(source.to_string(), "http://localhost/jwks");
    }

    #[tokio::test]
    async fn what_is_read_is_bounded_and_from_nowhere_else() {
        let other = Publisher::start(&json!({}), Duration::ZERO).await;
        let publisher = Publisher::start(&json!({}), Duration::ZERO).await;
        let source = Source::new(&KeySource::Url(publisher.url.clone())).unwrap();
        publisher.answer_with("200 OK", &" ".repeat(MAX_BYTES));
        assert_eq!(source.read().await.unwrap().len(), MAX_BYTES);
        publisher.answer_with("200 OK", &" ".repeat(MAX_BYTES + 1));
        assert!(matches!(source.read().await, Err(Failure::TooLarge)));
        publisher.answer_with(&format!("302 Found\r\nLocation: {}", other.url), "");
        assert!(matches!(source.read().await, Err(Failure::Status(_))));
        assert_eq!(other.asked(), 0);

        let file = tempfile::NamedTempFile::new().unwrap();
        let source = Source::new(&KeySource::File(file.path().to_owned())).unwrap();
        file.as_file().set_len(MAX_BYTES as u64 + 1).unwrap();
        assert!(matches!(source.read().await, Err(Failure::TooLarge)));
    }
}
