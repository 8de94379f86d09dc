//! Why talking to a server failed, and whether that may pass.

use std::{fmt, time::Duration};

use reqwest::{StatusCode, header::HeaderMap};
use serde::Deserialize;

use super::exchange::IDLE;

/// Why a request or a transfer failed.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// The server answered that it will not, or cannot.
    #[error("{0}")]
    Refused(Refusal),
    /// The connection was not made, or broke.
    #[error("the connection failed")]
    Broken(#[source] reqwest::Error),
    /// Nothing moved on the connection for too long.
    #[error("nothing moved for {} seconds", IDLE.as_secs())]
    Idle,
    /// The server's answer is not what the protocol demands.
    #[error("the server's answer makes no sense: {0}")]
    Nonsense(String),
    /// It lies on this side.
    #[error("{0}")]
    Local(String),
}

impl Trouble {
    /// Why something on this machine failed.
    pub fn local(what: impl fmt::Display) -> Self {
        Self::Local(what.to_string())
    }

    pub fn nonsense(what: impl Into<String>) -> Self {
        Self::Nonsense(what.into())
    }

    /// Whether the same request may succeed a little later.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Refused(refusal) => refusal.may_pass(),
            Self::Broken(_) | Self::Idle => true,
            Self::Nonsense(_) | Self::Local(_) => false,
        }
    }

    /// The status code that the server refused with.
    pub fn status(&self) -> Option<StatusCode> {
        match self {
            Self::Refused(refusal) => Some(refusal.status),
            _ => None,
        }
    }

    /// Whether what was asked for is not there, or not any more.
    pub fn is_gone(&self) -> bool {
        matches!(
            self.status(),
            Some(StatusCode::NOT_FOUND | StatusCode::GONE)
        )
    }

    /// 1 if the server refused, 2 if something failed.
    pub fn exit_code(&self) -> u8 {
        match self.status() {
            Some(status) if !status.is_server_error() => 1,
            _ => 2,
        }
    }
}

/// An answer that says no.
#[derive(Debug)]
pub struct Refusal {
    status: StatusCode,
    problem: Problem,
    /// How long the server asks to wait.
    pub retry_after: Option<Duration>,
}

/// What an answer may say about a problem (RFC 9457).
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Problem {
    r#type: String,
    title: String,
    detail: String,
}

impl Refusal {
    /// Reads an answer; a body that describes no problem is passed over.
    pub fn new(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Self {
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

    fn may_pass(&self) -> bool {
        match self.status {
            // Another content with the same name stays where it is.
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

    /// Whether the problem is of the kind whose URI ends so.
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
            f.write_str("; the file was changed while it was uploaded, so upload it again")?;
        }
        Ok(())
    }
}

/// A refusal, for tests.
#[cfg(test)]
pub fn refused(status: u16, body: &str, retry_after: Option<u64>) -> Trouble {
    let mut headers = HeaderMap::new();
    if let Some(seconds) = retry_after {
        headers.insert(reqwest::header::RETRY_AFTER, seconds.into());
    }
    let status = StatusCode::from_u16(status).unwrap();
    Trouble::Refused(Refusal::new(status, &headers, body.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLLISION: &str = r#"{"type": "urn:fileserver:problem:digest-collision"}"#;

    #[test]
    fn what_may_pass_is_told_from_what_does_not() {
        for status in [408, 409, 423, 429, 500, 502, 503, 504] {
            assert!(refused(status, "", None).may_pass(), "{status}");
        }
        for status in [301, 400, 401, 403, 404, 410, 412, 413, 422, 501, 507] {
            assert!(!refused(status, "", None).may_pass(), "{status}");
        }
        assert!(!refused(409, COLLISION, None).may_pass());
        assert!(Trouble::Idle.may_pass());
        assert!(!Trouble::local("no such file").may_pass());
    }

    #[test]
    fn refusals_and_failures_have_different_exit_codes() {
        assert_eq!(refused(404, "", None).exit_code(), 1);
        assert_eq!(refused(503, "", None).exit_code(), 2);
        assert_eq!(Trouble::Idle.exit_code(), 2);
        assert!(refused(410, "", None).is_gone());
    }

    #[test]
    fn a_problem_is_told_in_the_servers_words() {
        let told = |status, body| refused(status, body, None).to_string();
        let problem = r#"{"type": "urn:x:not-found", "title": "None.", "detail": "gone"}"#;
        assert_eq!(told(404, problem), "None: gone");
        assert_eq!(told(404, r#"{"title": "None."}"#), "None");
        assert_eq!(told(404, r#"{"title": "None.", "detail": "none"}"#), "None");
        assert_eq!(told(502, "<html>"), "the server answered 502 Bad Gateway");
        let changed = r#"{"type": "urn:fileserver:problem:digest-mismatch", "detail": "wrong"}"#;
        assert!(told(422, changed).contains("changed while it was uploaded"));
    }
}
