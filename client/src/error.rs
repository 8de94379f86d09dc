//! The errors of a client, and whether they are temporary.

use std::{fmt, time::Duration};

use reqwest::{StatusCode, header::HeaderMap};
use serde::Deserialize;

/// Time without a byte after which a connection is given up, and time that the server has to begin its
/// response.
pub(crate) const IDLE_TIMEOUT: Duration = Duration::from_mins(2);

/// The reason why a request or a transfer failed.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The server refused the request, or could not serve it.
    #[error("{0}")]
    Refused(Refusal),
    /// No server answered at the URL.
    #[error("no server answers at {0}")]
    NoServer(String, #[source] reqwest::Error),
    /// The connection could not be made, or broke.
    #[error("the connection failed")]
    Connection(#[source] reqwest::Error),
    /// No byte moved on the connection for too long.
    #[error("no data for {} seconds", IDLE_TIMEOUT.as_secs())]
    Idle,
    /// The server's response violates the protocol.
    #[error("unexpected response of the server: {0}")]
    Protocol(String),
    /// Something failed on this machine.
    #[error("{0}")]
    Local(String),
}

impl ClientError {
    /// Wraps an error of this machine, such as one of its files.
    pub fn local(reason: impl fmt::Display) -> Self {
        Self::Local(reason.to_string())
    }

    pub(crate) fn protocol_error(reason: impl Into<String>) -> Self {
        Self::Protocol(reason.into())
    }

    /// Returns whether the same request may succeed later.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::Refused(refusal) => refusal.is_temporary(),
            Self::Connection(_) | Self::Idle => true,
            Self::NoServer(..) | Self::Protocol(_) | Self::Local(_) => false,
        }
    }

    /// Returns whether the system of the server refused the connection: nothing listens there.
    pub(crate) fn is_connection_refused(&self) -> bool {
        let Self::Connection(error) = self else {
            return false;
        };
        let mut cause = std::error::Error::source(error);
        while let Some(error) = cause {
            let io = error.downcast_ref::<std::io::Error>();
            if io.is_some_and(|io| io.kind() == std::io::ErrorKind::ConnectionRefused) {
                return true;
            }
            cause = error.source();
        }
        false
    }

    /// The status code of a refusal.
    #[must_use]
    pub fn status(&self) -> Option<StatusCode> {
        match self {
            Self::Refused(refusal) => Some(refusal.status),
            _ => None,
        }
    }

    /// Returns whether the resource does not exist, or no longer exists.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        matches!(
            self.status(),
            Some(StatusCode::NOT_FOUND | StatusCode::GONE)
        )
    }
}

/// A refusal of the server.
#[derive(Debug)]
pub struct Refusal {
    status: StatusCode,
    problem: Problem,
    /// The time that the server asks the client to wait.
    pub(crate) retry_after: Option<Duration>,
}

/// The problem in a response (RFC 9457).
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Problem {
    r#type: String,
    title: String,
    detail: String,
}

impl Refusal {
    /// Reads a response; a body that is not a problem is ignored.
    pub(crate) fn new(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Self {
        let retry_after = headers
            .get(reqwest::header::RETRY_AFTER)
            .and_then(|value| value.to_str().ok()?.parse().ok())
            .map(Duration::from_secs);
        Self {
            status,
            problem: serde_json::from_slice(body).unwrap_or_default(),
            retry_after,
        }
    }

    fn is_temporary(&self) -> bool {
        match self.status {
            // Waiting does not remove the other content.
            StatusCode::CONFLICT => !self.is("digest-collision"),
            StatusCode::REQUEST_TIMEOUT | StatusCode::LOCKED | StatusCode::TOO_MANY_REQUESTS => {
                true
            }
            StatusCode::NOT_IMPLEMENTED
            | StatusCode::HTTP_VERSION_NOT_SUPPORTED
            | StatusCode::INSUFFICIENT_STORAGE => false,
            status => status.is_server_error(),
        }
    }

    /// Returns whether the problem has this type: the last part of its URI.
    fn is(&self, kind: &str) -> bool {
        self.problem.r#type.rsplit(':').next() == Some(kind)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Problem { title, detail, .. } = &self.problem;
        match (title.trim_end_matches('.'), detail.as_str()) {
            ("", "") => write!(f, "the server answered {}", self.status)?,
            ("", text) | (text, "") => f.write_str(text)?,
            (title, detail) if title.eq_ignore_ascii_case(detail) => f.write_str(title)?,
            (title, detail) => write!(f, "{title}: {detail}")?,
        }
        if self.is("digest-mismatch") {
            f.write_str("; the file changed during the upload: upload it again")?;
        }
        Ok(())
    }
}

/// A refusal, for tests.
#[cfg(test)]
pub(crate) fn refused(status: u16, body: &str, retry_after: Option<u64>) -> ClientError {
    let mut headers = HeaderMap::new();
    if let Some(seconds) = retry_after {
        headers.insert(reqwest::header::RETRY_AFTER, seconds.into());
    }
    let status = StatusCode::from_u16(status).unwrap();
    ClientError::Refused(Refusal::new(status, &headers, body.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLLISION: &str = r#"{"type": "urn:fileserver:problem:digest-collision"}"#;

    #[test]
    fn temporary_and_permanent_errors_are_distinguished() {
        for status in [408, 409, 423, 429, 500, 502, 503, 504] {
            assert!(refused(status, "", None).is_temporary(), "{status}");
        }
        for status in [301, 400, 401, 403, 404, 410, 412, 413, 422, 501, 507] {
            assert!(!refused(status, "", None).is_temporary(), "{status}");
        }
        assert!(!refused(409, COLLISION, None).is_temporary());
        assert!(ClientError::Idle.is_temporary());
        assert!(!ClientError::local("no such file").is_temporary());
    }

    #[test]
    fn a_refusal_shows_the_problem_of_the_server() {
        let shown = |status, body| refused(status, body, None).to_string();
        let problem = r#"{"type": "urn:x:not-found", "title": "None.", "detail": "gone"}"#;
        assert_eq!(shown(404, problem), "None: gone");
        assert_eq!(shown(404, r#"{"title": "None."}"#), "None");
        assert_eq!(
            shown(404, r#"{"title": "None.", "detail": "none"}"#),
            "None"
        );
        assert_eq!(shown(502, "<html>"), "the server answered 502 Bad Gateway");
        let changed = r#"{"type": "urn:fileserver:problem:digest-mismatch", "detail": "wrong"}"#;
        assert!(shown(422, changed).contains("changed during the upload"));
    }
}
