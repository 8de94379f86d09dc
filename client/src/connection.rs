//! The server that a client talks to, and its credentials.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use reqwest::{
    Method, RequestBuilder, Url,
    header::{AUTHORIZATION, HeaderValue},
    redirect::Policy,
};

use crate::{
    error::ClientError,
    memory::{UploadMemory, UploadRecord},
    observer::{Notice, Observer},
};

/// Time limit for making a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A client of one server.
///
/// A transfer survives broken connections and restarts of the server, and continues where it was. The
/// token is sent to no other server.
pub struct Client {
    pub(super) http: reqwest::Client,
    base: Url,
    token: Option<HeaderValue>,
    /// Whether the server has ever answered.
    pub(super) was_reached: AtomicBool,
    pub(super) observer: Arc<dyn Observer>,
    memory: Option<UploadMemory>,
}

impl Client {
    /// Creates a client of the server at a URL, such as `https://files.example.org`, with the bearer
    /// token that the server demands, if it does. It connects at the first request.
    ///
    /// # Errors
    ///
    /// If the URL or the token is malformed.
    pub fn new(server: &str, token: Option<&str>) -> Result<Self, ClientError> {
        let base = read_base(server)?;
        let token = token.filter(|token| !token.is_empty());
        Ok(Self {
            http: http(&base)?,
            base,
            token: token.map(bearer).transpose()?,
            was_reached: AtomicBool::new(false),
            observer: Arc::new(()),
            memory: None,
        })
    }

    /// Remembers uploads of files in a folder of the user, so that a later process continues them.
    ///
    /// The folder is created at the first upload. It has no tokens, but tells which files were
    /// uploaded.
    #[must_use]
    pub fn remembering(mut self, folder: PathBuf) -> Self {
        self.memory = Some(UploadMemory::new(folder));
        self
    }

    /// Opens the record of a path's upload, if uploads are remembered, and no other process uploads
    /// the path.
    pub(crate) fn open_record(&self, path: &Path) -> Option<UploadRecord> {
        let token = self.token.as_ref().map(HeaderValue::as_bytes);
        let opened = self.memory.as_ref()?.open(self.base.as_str(), token, path);
        opened.unwrap_or_else(|error| {
            self.observer.notice(Notice::NotRemembered(&error));
            None
        })
    }

    /// Sends progress and notices to an observer.
    #[must_use]
    pub fn with_observer(mut self, observer: Arc<dyn Observer>) -> Self {
        self.observer = observer;
        self
    }

    /// The server's URL.
    pub(crate) fn url(&self) -> &Url {
        &self.base
    }

    /// Builds a request to a path below the server's URL, such as `files`.
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let mut url = self.base.clone();
        url.set_path(&format!("{}{path}", self.base.path()));
        self.request_at(method, url)
    }

    /// Builds a request to a URL from [`Client::locate`].
    pub(super) fn request_at(&self, method: Method, url: Url) -> RequestBuilder {
        let request = self.http.request(method, url);
        match &self.token {
            Some(token) => request.header(AUTHORIZATION, token.clone()),
            None => request,
        }
    }

    /// A client without credentials, for requests to other servers.
    pub(super) fn anonymous_client() -> Result<reqwest::Client, ClientError> {
        reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .redirect(Policy::none())
            .build()
            .map_err(ClientError::connection_error)
    }

    /// Resolves a `Location`.
    ///
    /// # Errors
    ///
    /// If it leads to another server, which must not learn the token.
    pub(super) fn locate(&self, location: &str) -> Result<Url, ClientError> {
        let url = self.base.join(location).map_err(|error| {
            ClientError::protocol_error(format!("the location {location:?} is not a URL: {error}"))
        })?;
        if url.origin() != self.base.origin() {
            let reason = format!(
                "it leads to another server, {}",
                url.origin().ascii_serialization()
            );
            return Err(ClientError::Protocol(reason));
        }
        Ok(url)
    }
}

/// Parses the server's URL, and ends its path with a slash.
fn read_base(server: &str) -> Result<Url, ClientError> {
    // The message omits the URL, which may contain a password.
    let wrong = |reason: &str| ClientError::Local(format!("the server's URL {reason}"));
    let mut url: Url = server
        .parse()
        .map_err(|error| wrong(&format!("is malformed: {error}")))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(wrong("must begin with `http://` or `https://`"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(wrong(
            "must not contain a user name or password; use a token",
        ));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(wrong("must not have a query or a fragment"));
    }
    let path = format!("{}/", url.path().trim_end_matches('/'));
    url.set_path(&path);
    Ok(url)
}

fn bearer(token: &str) -> Result<HeaderValue, ClientError> {
    // The message omits the token.
    let mut value = HeaderValue::try_from(format!("Bearer {token}"))
        .map_err(|_| ClientError::local("the token contains invalid characters"))?;
    value.set_sensitive(true);
    Ok(value)
}

fn http(base: &Url) -> Result<reqwest::Client, ClientError> {
    // An error means that a provider is installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut builder = reqwest::Client::builder()
        .user_agent(concat!("fileserver/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT_TIMEOUT)
        .redirect(Policy::none());
    if base.scheme() == "http" {
        // Plain HTTP needs no system certificates.
        builder = builder.tls_certs_only([]);
    }
    builder.build().map_err(ClientError::connection_error)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(server: &str, token: Option<&str>) -> Result<Client, ClientError> {
        Client::new(server, token)
    }

    #[test]
    fn a_location_is_resolved_but_leads_to_no_other_server() {
        let client = client("https://files.example/below", None).unwrap();
        let url = |location| client.locate(location).map(|url| url.to_string());
        for absolute in [
            "/tus/1",
            "https://files.example/tus/1",
            "https://files.example:443/tus/1",
            "//files.example/tus/1",
            "../tus/1",
        ] {
            assert_eq!(url(absolute).unwrap(), "https://files.example/tus/1");
        }
        assert_eq!(url("tus/1").unwrap(), "https://files.example/below/tus/1");
        for foreign in [
            "http://files.example/tus/1",
            "https://files.example:444/tus/1",
            "https://files.example.evil/tus/1",
            "//evil/tus/1",
            "file:///etc/passwd",
            "https://",
        ] {
            assert!(url(foreign).is_err(), "{foreign}");
        }
    }

    #[test]
    fn requests_go_below_the_servers_url() {
        for server in ["http://a:1/x", "http://a:1/x/"] {
            let request = client(server, None).unwrap().request(Method::GET, "files");
            let request = request.build().unwrap();
            assert_eq!(request.url().as_str(), "http://a:1/x/files");
            assert!(!request.headers().contains_key(AUTHORIZATION));
        }
    }

    #[test]
    fn what_cannot_be_a_server_or_a_token_is_refused_without_telling_secrets() {
        for server in [
            "here",
            "ftp://a",
            "http://a?b",
            "http://",
            "http://u:secret@a",
        ] {
            let error = client(server, None).err().unwrap().to_string();
            assert!(!error.contains("secret"), "{error}");
        }
        let error = client("http://a", Some("secret\n")).err().unwrap();
        assert!(!error.to_string().contains("secret"));
        let client = client("http://a", Some("secret")).unwrap();
        let request = client.request(Method::GET, "files").build().unwrap();
        assert_eq!(request.headers()[AUTHORIZATION], "Bearer secret");
        assert!(!format!("{request:?}").contains("secret"));
    }
}
