//! Refusals of what is no request: they are problems, logged and counted, as those of requests are.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use actix_http::{Response, error::ParseError};
use actix_web::{
    HttpResponse, ResponseError as _,
    body::{BodySize, BoxBody, MessageBody as _, to_bytes_limited},
    http::{
        StatusCode,
        header::{self, HeaderMap, HeaderName, HeaderValue},
    },
};
use telemetry::Metrics;

use super::answer::date;
use crate::{
    middleware::access_log::{REQUEST_ID, new_request_id},
    problem::{Problem, ProblemType},
};

/// The largest body of a last response, in bytes.
const MAX_BODY: usize = 64 * 1024;

/// Makes the responses to what is no request.
#[derive(Clone)]
pub(super) struct Refusals {
    pub(super) metrics: Arc<Metrics>,
}

impl Refusals {
    /// A header that cannot be read.
    pub(super) fn unreadable(
        &self,
        status: u16,
        error: &ParseError,
        peer: Option<SocketAddr>,
    ) -> Response<BoxBody> {
        let problem = if status == 431 {
            let detail = "the header has more bytes or fields than the service reads";
            Problem::new(ProblemType::HeaderTooLarge, detail)
        } else {
            Problem::new(ProblemType::MalformedRequest, describe(error))
        };
        self.refuse(&problem, peer)
    }

    /// A header that did not arrive in time.
    pub(super) fn too_slow(&self, peer: Option<SocketAddr>) -> Response<BoxBody> {
        let detail = "the header did not arrive in time";
        self.refuse(&Problem::new(ProblemType::HeaderTooSlow, detail), peer)
    }

    fn refuse(&self, problem: &Problem, peer: Option<SocketAddr>) -> Response<BoxBody> {
        let id = new_request_id();
        let mut response: HttpResponse = problem.error_response();
        let headers = response.headers_mut();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(REQUEST_ID, id.clone());
        let sent = match response.body().size() {
            BodySize::Sized(bytes) => bytes,
            _ => 0,
        };
        self.metrics.begin_request();
        self.metrics
            .end_request("none", problem.status, sent, Duration::ZERO);
        tracing::info!(
            request_id = id.to_str().unwrap_or_default(),
            client = peer.map(|peer| peer.ip().to_string()),
            operation = "none",
            status = problem.status,
            sent,
            detail = problem.detail,
            "request"
        );
        response.into()
    }
}

/// Says what is wrong with a header, without its text, which may have secrets.
fn describe(error: &ParseError) -> &'static str {
    match error {
        ParseError::Method => "the method is malformed",
        ParseError::Uri(_) => "the target is malformed",
        ParseError::Version => "the version of HTTP is malformed or not supported",
        ParseError::Header => "a header field is malformed, or contradicts another",
        _ => "the request is not well-formed HTTP",
    }
}

/// Encodes a short response that closes its connection; none if it is long.
pub(super) async fn encode(response: Response<BoxBody>) -> Option<Vec<u8>> {
    let (head, body) = response.into_parts();
    let body = to_bytes_limited(body, MAX_BODY).await.ok()?.ok()?;
    let status = head.status();
    let reason = status.canonical_reason().unwrap_or_default();
    let mut bytes = format!("HTTP/1.1 {} {reason}\r\n", status.as_u16()).into_bytes();
    let mut add = |name: &HeaderName, value: &[u8]| {
        bytes.extend_from_slice(name.as_str().as_bytes());
        bytes.extend_from_slice(b": ");
        bytes.extend_from_slice(value);
        bytes.extend_from_slice(b"\r\n");
    };
    let fields: &HeaderMap = head.headers();
    for (name, value) in fields {
        if ![
            header::CONTENT_LENGTH,
            header::CONNECTION,
            header::TRANSFER_ENCODING,
        ]
        .contains(name)
        {
            add(name, value.as_bytes());
        }
    }
    if !matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED) {
        add(&header::CONTENT_LENGTH, body.len().to_string().as_bytes());
    }
    add(&header::CONNECTION, b"close");
    add(&header::DATE, date().as_bytes());
    bytes.extend_from_slice(b"\r\n");
    bytes.extend_from_slice(&body);
    Some(bytes)
}
