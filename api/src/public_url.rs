//! The URL at which clients reach the service, and the URLs below it that responses contain.

use std::{fmt, str::FromStr, sync::Arc};

use actix_web::{
    Error,
    body::MessageBody,
    dev::{ServiceRequest, ServiceResponse},
    http::header::{self, HeaderMap, HeaderName, HeaderValue},
    middleware::Next,
};
use reqwest::Url;

use crate::headers::origin::{Origin, OriginError};

/// The URL at which clients reach the service: an origin, and a path if a proxy serves it below one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicUrl {
    origin: Origin,
    path: Arc<str>,
}

/// A text is not the URL of a service.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PublicUrlError {
    /// It is not a URL.
    #[error(
        "`{0}` is not a URL such as `https://files.example.org` or `https://example.org/files`"
    )]
    Malformed(String),
    /// It has a part that belongs to no service's URL.
    #[error("the URL of the service has no credentials, no query and no fragment")]
    Surplus,
    /// Its scheme or host is not usable.
    #[error(transparent)]
    Origin(#[from] OriginError),
}

impl FromStr for PublicUrl {
    type Err = PublicUrlError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let malformed = || PublicUrlError::Malformed(text.to_owned());
        let url: Url = text.parse().map_err(|_| malformed())?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(malformed());
        }
        let has_credentials = !url.username().is_empty() || url.password().is_some();
        if has_credentials || url.query().is_some() || url.fragment().is_some() {
            return Err(PublicUrlError::Surplus);
        }
        let path = url.path().trim_end_matches('/');
        // Where it stands alone, such a path would begin with a host.
        if path.starts_with("//") {
            return Err(malformed());
        }
        Ok(Self {
            origin: url.origin().ascii_serialization().parse()?,
            path: path.into(),
        })
    }
}

impl PublicUrl {
    pub(crate) fn origin(&self) -> &Origin {
        &self.origin
    }

    /// The path below which the service is; empty if it is at the root.
    pub(crate) fn path(&self) -> &Arc<str> {
        &self.path
    }
}

impl fmt::Display for PublicUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.origin.as_str(), self.path)
    }
}

/// Puts the path of the public URL before the paths in a response's header.
pub(crate) async fn prepend_path(
    path: Arc<str>,
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let mut response = next.call(request).await?;
    for name in [header::LOCATION, header::CONTENT_LOCATION, header::LINK] {
        prepend(&path, &name, response.headers_mut());
    }
    Ok(response)
}

fn prepend(path: &str, name: &HeaderName, headers: &mut HeaderMap) {
    let Some(value) = headers.get(name).and_then(|value| value.to_str().ok()) else {
        return;
    };
    // A `Link` has its URL in angle brackets.
    let (bracket, url) = match value.strip_prefix('<') {
        Some(url) => ("<", url),
        None => ("", value),
    };
    if url.starts_with('/')
        && let Ok(below) = HeaderValue::try_from(format!("{bracket}{path}{url}"))
    {
        headers.insert(name.clone(), below);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_public_url_may_have_a_path() {
        for (text, path) in [
            ("https://files.example.org", ""),
            ("https://files.example.org/", ""),
            ("http://localhost:8080/store/", "/store"),
            ("https://example.org/a/b", "/a/b"),
        ] {
            let url: PublicUrl = text.parse().unwrap();
            assert_eq!(&**url.path(), path);
            assert_eq!(url.to_string(), text.trim_end_matches('/'));
        }
        for text in [
            "",
            "files.example.org",
            "ftp://a",
            "https://",
            "https://a:b@c",
            "https://a?b",
            "https://a#b",
            "https://a//b",
        ] {
            assert!(text.parse::<PublicUrl>().is_err(), "{text}");
        }
    }

    #[test]
    fn paths_in_the_header_are_below_the_public_path() {
        let mut headers = HeaderMap::new();
        headers.insert(header::LOCATION, HeaderValue::from_static("/tus/1"));
        headers.insert(
            header::LINK,
            HeaderValue::from_static("</files?cursor=1>; rel=\"next\""),
        );
        headers.insert(
            header::CONTENT_LOCATION,
            HeaderValue::from_static("https://a/b"),
        );
        for name in [header::LOCATION, header::LINK, header::CONTENT_LOCATION] {
            prepend("/store", &name, &mut headers);
        }
        assert_eq!(headers.get(header::LOCATION).unwrap(), "/store/tus/1");
        assert_eq!(
            headers.get(header::LINK).unwrap(),
            "</store/files?cursor=1>; rel=\"next\""
        );
        assert_eq!(
            headers.get(header::CONTENT_LOCATION).unwrap(),
            "https://a/b"
        );
    }
}
