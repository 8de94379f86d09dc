//! Reads the document with the issuer's keys from a file or a URL, within limits of time and size.

use std::{fmt, fs::File, io::Read as _, net::IpAddr, path::PathBuf, time::Duration};

use reqwest::{Client, StatusCode, Url, header::ACCEPT, redirect::Policy};

use super::{
    error::{OpenError, ReadError},
    settings::KeySource,
};

/// Limit on the time for reading the keys.
const READ_TIMEOUT: Duration = Duration::from_secs(10);

/// Limit on the size of a JWK set, in bytes.
const MAX_BYTES: usize = 1024 * 1024;

/// A source of keys that is ready to be read.
pub(super) enum Source {
    File(PathBuf),
    Url { http: Client, url: Url },
}

impl Source {
    /// Prepares to read; sends no request yet.
    pub(super) fn new(source: &KeySource) -> Result<Self, OpenError> {
        Ok(match source {
            KeySource::File(path) => Self::File(path.clone()),
            KeySource::Url(url) => {
                check_url(url).map_err(OpenError::Url)?;
                let http = http_client(url).map_err(OpenError::Http)?;
                let url = url.clone();
                Self::Url { http, url }
            }
        })
    }

    /// Reads the document with the keys.
    pub(super) async fn read(&self) -> Result<Vec<u8>, ReadError> {
        tokio::time::timeout(READ_TIMEOUT, self.read_to_end())
            .await
            .map_err(|_| ReadError::TimedOut {
                limit: READ_TIMEOUT,
            })?
    }

    async fn read_to_end(&self) -> Result<Vec<u8>, ReadError> {
        match self {
            Self::File(path) => {
                let path = path.clone();
                tokio::task::spawn_blocking(move || {
                    let mut document = Vec::new();
                    let limit = MAX_BYTES as u64 + 1;
                    File::open(path)?.take(limit).read_to_end(&mut document)?;
                    if document.len() > MAX_BYTES {
                        return Err(ReadError::TooLarge { limit: MAX_BYTES });
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

/// For logs: without the query of a URL, which may have a secret.
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

async fn fetch(http: &Client, url: Url) -> Result<Vec<u8>, ReadError> {
    let failed = |error: reqwest::Error| ReadError::Http(error.without_url());
    let request = http
        .get(url)
        .header(ACCEPT, "application/jwk-set+json, application/json");
    let mut response = request.send().await.map_err(failed)?;
    if response.status() != StatusCode::OK {
        return Err(ReadError::Status(response.status()));
    }
    let mut document = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(failed)? {
        if document.len() + chunk.len() > MAX_BYTES {
            return Err(ReadError::TooLarge { limit: MAX_BYTES });
        }
        document.extend_from_slice(&chunk);
    }
    Ok(document)
}

/// Refuses a URL whose server is not authenticated: who answers for it chooses the keys.
fn check_url(url: &Url) -> Result<(), &'static str> {
    if !url.username().is_empty() || url.password().is_some() {
        return Err("contains a user name or a password");
    }
    match url.scheme() {
        "https" => Ok(()),
        "http" if is_loopback(url) => Ok(()),
        _ => Err("does not begin with `https://`; `http://` is for loopback addresses only"),
    }
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || address.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

fn http_client(url: &Url) -> reqwest::Result<Client> {
    // An error means that a provider is installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut builder = Client::builder()
        .user_agent(concat!("fileserver/", env!("CARGO_PKG_VERSION")))
        .redirect(Policy::none())
        // A connection is bound to the thread that opened it, and the next request comes from
        // another one.
        .pool_max_idle_per_host(0);
    if url.scheme() == "http" {
        // Needs no certificates, so the machine may have none; and a loopback address is not for a
        // proxy.
        builder = builder.tls_certs_only([]).no_proxy();
    }
    builder.build()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{super::testing::Publisher, *};

    #[test]
    fn only_urls_of_authenticated_or_local_servers_are_accepted() {
        for url in [
            "https://issuer.example/jwks",
            "http://localhost/jwks",
            "http://127.0.0.1:1/jwks",
            "http://[::1]:1/jwks",
        ] {
            assert_eq!(check_url(&url.parse().unwrap()), Ok(()), "{url}");
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
            assert!(check_url(&url.parse().unwrap()).is_err(), "{url}");
        }
    }

    #[test]
    fn a_url_is_logged_without_its_query() {
        let url = "http://localhost/jwks?key=secret".parse().unwrap();
        let source = Source::new(&KeySource::Url(url)).unwrap();
        assert_eq!(source.to_string(), "http://localhost/jwks");
    }

    #[tokio::test]
    async fn reading_is_limited_and_follows_no_redirect() {
        let other = Publisher::start(&json!({}), Duration::ZERO).await;
        let publisher = Publisher::start(&json!({}), Duration::ZERO).await;
        let source = Source::new(&KeySource::Url(publisher.url.clone())).unwrap();
        publisher.respond_with("200 OK", &" ".repeat(MAX_BYTES));
        assert_eq!(source.read().await.unwrap().len(), MAX_BYTES);
        publisher.respond_with("200 OK", &" ".repeat(MAX_BYTES + 1));
        assert!(matches!(
            source.read().await,
            Err(ReadError::TooLarge { .. })
        ));
        publisher.respond_with(&format!("302 Found\r\nLocation: {}", other.url), "");
        assert!(matches!(source.read().await, Err(ReadError::Status(_))));
        assert_eq!(other.requests(), 0);

        let file = tempfile::NamedTempFile::new().unwrap();
        let source = Source::new(&KeySource::File(file.path().to_owned())).unwrap();
        file.as_file().set_len(MAX_BYTES as u64 + 1).unwrap();
        assert!(matches!(
            source.read().await,
            Err(ReadError::TooLarge { .. })
        ));
    }
}
