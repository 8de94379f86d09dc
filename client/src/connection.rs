//! To which server, as whom.

use std::{cell::Cell, time::Duration};

use indicatif::MultiProgress;
use reqwest::{
    Method, RequestBuilder, Url,
    header::{AUTHORIZATION, HeaderValue},
    redirect::Policy,
};

use super::error::Trouble;

/// How long making a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Talks to one server.
pub struct Client {
    pub(super) http: reqwest::Client,
    base: Url,
    token: Option<HeaderValue>,
    /// Whether the server was ever heard from.
    pub(super) heard: Cell<bool>,
    pub(super) bars: MultiProgress,
    pub(super) verbose: bool,
}

impl Client {
    /// Prepares to talk to a server; connections are made when they are needed.
    ///
    /// # Errors
    ///
    /// When the URL or the token is none that there can be.
    pub fn new(server: &str, token: Option<&str>, verbose: bool) -> Result<Self, Trouble> {
        let base = read_base(server)?;
        let token = token.filter(|token| !token.is_empty());
        Ok(Self {
            http: http(&base)?,
            base,
            token: token.map(bearer).transpose()?,
            heard: Cell::new(false),
            bars: MultiProgress::new(),
            verbose,
        })
    }

    /// Begins a request to a path below the server's URL, such as `files`.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let mut url = self.base.clone();
        url.set_path(&format!("{}{path}", self.base.path()));
        self.request_at(method, url)
    }

    /// Begins a request to a URL from [`Client::locate`].
    pub(super) fn request_at(&self, method: Method, url: Url) -> RequestBuilder {
        let request = self.http.request(method, url);
        match &self.token {
            Some(token) => request.header(AUTHORIZATION, token.clone()),
            None => request,
        }
    }

    /// What requests to other servers are made with.
    pub(super) fn stranger() -> Result<reqwest::Client, Trouble> {
        reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .redirect(Policy::none())
            .build()
            .map_err(Trouble::broken)
    }

    /// The URL that a `Location` means.
    ///
    /// # Errors
    ///
    /// When it leads to another server, which is not to learn the token.
    pub(super) fn locate(&self, location: &str) -> Result<Url, Trouble> {
        let url = self.base.join(location).map_err(|error| {
            Trouble::nonsense(format!("the location {location:?} is no URL: {error}"))
        })?;
        if url.origin() != self.base.origin() {
            let reason = format!(
                "it leads to another server, {}",
                url.origin().ascii_serialization()
            );
            return Err(Trouble::Nonsense(reason));
        }
        Ok(url)
    }
}

/// Reads the server's URL, and ends its path with a slash.
fn read_base(server: &str) -> Result<Url, Trouble> {
    // The URL itself is not told: it may have a password.
    let wrong = |reason: &str| Trouble::Local(format!("the server's URL {reason}"));
    let mut url: Url = server
        .parse()
        .map_err(|error| wrong(&format!("cannot be read: {error}")))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(wrong("begins with neither `http://` nor `https://`"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(wrong("has a user's name or password; a token lets you in"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(wrong("has a query or a fragment"));
    }
    let path = format!("{}/", url.path().trim_end_matches('/'));
    url.set_path(&path);
    Ok(url)
}

fn bearer(token: &str) -> Result<HeaderValue, Trouble> {
    // The token itself is not told.
    let mut value = HeaderValue::try_from(format!("Bearer {token}"))
        .map_err(|_| Trouble::local("the token has characters that no token can have"))?;
    value.set_sensitive(true);
    Ok(value)
}

fn http(base: &Url) -> Result<reqwest::Client, Trouble> {
    // It is an error if there is one already, which will do then.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut builder = reqwest::Client::builder()
        .user_agent(concat!("fileserver/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT_TIMEOUT)
        .redirect(Policy::none());
    if base.scheme() == "http" {
        // A machine without any certificates can still do without.
        builder = builder.tls_certs_only([]);
    }
    builder.build().map_err(Trouble::broken)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(server: &str, token: Option<&str>) -> Result<Client, Trouble> {
        Client::new(server, token, false)
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
