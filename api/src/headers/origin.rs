//! Origins of web pages (RFC 6454), as settings and `Origin` fields have them.

use std::{fmt, net::IpAddr, str::FromStr};

use reqwest::Url;

/// An origin: a scheme, a host, and a port unless it is the scheme's default.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin(String);

/// An origin whose pages may call the service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AllowedOrigin {
    /// Any origin, `*`.
    Any,
    /// One origin.
    Only(Origin),
}

/// A text is not an origin.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OriginError {
    /// It has no scheme.
    #[error("an origin begins with a scheme: write `https://{0}` or `http://{0}`")]
    NoScheme(String),
    /// It has a wildcard.
    #[error("`{0}` has a wildcard; list each origin, or write `*` for all")]
    Wildcard(String),
    /// It is written in another way than browsers write it.
    #[error("browsers write the origin `{0}` as `{1}`")]
    NotCanonical(String, String),
    /// It is something else.
    #[error("`{0}` is not an origin such as `https://app.example.org`")]
    Malformed(String),
}

impl FromStr for Origin {
    type Err = OriginError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.contains('*') {
            return Err(OriginError::Wildcard(text.to_owned()));
        }
        if !text.contains("://") {
            return Err(OriginError::NoScheme(text.to_owned()));
        }
        let malformed = || OriginError::Malformed(text.to_owned());
        let url: Url = text.parse().map_err(|_| malformed())?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(malformed());
        }
        let canonical = url.origin().ascii_serialization();
        if canonical != text {
            return Err(OriginError::NotCanonical(text.to_owned(), canonical));
        }
        Ok(Self(canonical))
    }
}

impl FromStr for AllowedOrigin {
    type Err = OriginError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "*" {
            return Ok(Self::Any);
        }
        text.parse().map(Self::Only)
    }
}

impl Origin {
    /// The origin as browsers write it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The host, and the port unless it is the scheme's default.
    pub(crate) fn authority(&self) -> &str {
        self.0
            .split_once("://")
            .map_or("", |(_, authority)| authority)
    }
}

impl fmt::Display for AllowedOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Any => "*",
            Self::Only(origin) => origin.as_str(),
        })
    }
}

/// The host of an authority, without its port.
pub(crate) fn host(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => host,
        _ => authority,
    }
}

/// Returns whether a host is this machine, by a name that no other machine can have (RFC 6761 §6.3).
pub(crate) fn is_loopback(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    if let Ok(address) = host.parse::<IpAddr>() {
        return address.is_loopback();
    }
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    host == "localhost" || host.ends_with(".localhost")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_written_as_browsers_write_it() {
        for text in [
            "http://localhost:3000",
            "https://app.example.org",
            "http://[::1]:8080",
        ] {
            assert_eq!(text.parse::<Origin>().unwrap().as_str(), text);
        }
        for (text, hint) in [
            ("http://localhost:3000/", "`http://localhost:3000`"),
            ("https://App.Example.org", "`https://app.example.org`"),
            ("https://app.example.org:443", "`https://app.example.org`"),
            ("https://app.example.org/path", "`https://app.example.org`"),
            ("app.example.org", "`https://app.example.org`"),
            ("localhost:3000", "`http://localhost:3000`"),
            ("https://*.example.org", "wildcard"),
            ("null", "`https://null`"),
            ("ftp://example.org", "not an origin"),
            ("https://", "not an origin"),
            ("", "scheme"),
        ] {
            let refusal = text.parse::<Origin>().unwrap_err().to_string();
            assert!(refusal.contains(hint), "{text}: {refusal}");
        }
        assert_eq!("*".parse(), Ok(AllowedOrigin::Any));
    }

    #[test]
    fn a_loopback_host_is_recognised() {
        for authority in [
            "localhost",
            "LOCALHOST:8080",
            "localhost.:80",
            "files.localhost",
            "127.0.0.1:8080",
            "127.8.9.1",
            "[::1]",
            "[::1]:8080",
        ] {
            assert!(is_loopback(host(authority)), "{authority}");
        }
        for authority in [
            "evil.example:8080",
            "10.0.0.1",
            "[fe80::1]:80",
            "localhost.evil.example",
            "",
        ] {
            assert!(!is_loopback(host(authority)), "{authority}");
        }
    }
}
