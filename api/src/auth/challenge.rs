//! The problems of missing, wrong and insufficient credentials, with their challenges (RFC 6750 §3).

use actix_web::http::header::{self, HeaderValue};
use domain::Scope;

use crate::problem::{Problem, ProblemType};

/// The beginning of every challenge (RFC 6750 §3).
const CHALLENGE: &str = "Bearer realm=\"fileserver\"";

/// Refuses a request without credentials.
pub(crate) fn missing() -> Problem {
    let detail = "send `Authorization: Bearer` and a token";
    unauthorized(ProblemType::MissingCredentials, detail, "")
}

/// Refuses credentials that are malformed, unknown, expired or revoked.
pub(super) fn invalid(detail: &str) -> Problem {
    let error = ", error=\"invalid_token\"";
    unauthorized(ProblemType::InvalidCredentials, detail, error)
}

fn unauthorized(kind: ProblemType, detail: &str, error: &str) -> Problem {
    let challenge = HeaderValue::try_from(format!("{CHALLENGE}{error}"));
    Problem::new(kind, detail).with_header(
        header::WWW_AUTHENTICATE,
        challenge.unwrap_or(HeaderValue::from_static(CHALLENGE)),
    )
}

/// Refuses valid credentials that lack a scope (RFC 6750 §3.1).
pub(super) fn forbidden(scope: Scope) -> Problem {
    let challenge = format!("{CHALLENGE}, error=\"insufficient_scope\", scope=\"{scope}\"");
    let detail = format!("the operation requires the scope {scope}");
    Problem::new(ProblemType::InsufficientScope, detail).with_header(
        header::WWW_AUTHENTICATE,
        HeaderValue::try_from(challenge).unwrap_or(HeaderValue::from_static(CHALLENGE)),
    )
}
