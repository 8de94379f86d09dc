//! The log line of one request.

use std::{rc::Rc, sync::Arc, time::Instant};

use actix_web::dev::{ServiceRequest, ServiceResponse};
use percent_encoding::percent_decode_str;
use telemetry::Component;
use tracing::Span;

use super::{
    context::{AuditFile, AuditSubject, RequestContext},
    trace,
};
use crate::state::AppState;

/// The beginning of the paths of links; the rest is a secret.
const LINKS: &str = "/d/";

/// The facts about a request, which are logged and counted on drop.
pub(super) struct RequestLog {
    state: Arc<AppState>,
    began: Instant,
    id: String,
    method: String,
    path: String,
    pub(super) client: Option<String>,
    context: Rc<RequestContext>,
    owner: Option<String>,
    file: Option<String>,
    status: Option<u16>,
    sent: u64,
    is_cut_off: bool,
    /// The parent of the spans of all work for the request.
    pub(super) span: Span,
    pub(super) trace_id: Option<String>,
}

impl RequestLog {
    pub(super) fn begin(
        state: Arc<AppState>,
        context: Rc<RequestContext>,
        request: &ServiceRequest,
        id: &str,
    ) -> Self {
        state.metrics.begin_request();
        Self {
            state,
            began: Instant::now(),
            id: id.to_owned(),
            method: request.method().to_string(),
            path: redacted_path(request),
            client: None,
            context,
            owner: None,
            file: None,
            status: None,
            sent: 0,
            is_cut_off: false,
            span: Span::none(),
            trace_id: None,
        }
    }

    /// Records the response's status, and the file that it concerns.
    pub(super) fn set_response<B>(&mut self, response: &ServiceResponse<B>) {
        self.status = Some(response.status().as_u16());
        let extensions = response.response().extensions();
        if let Some(named) = response.request().match_info().get("file_sha1") {
            self.file = Some(named.to_ascii_lowercase());
        }
        if let Some(AuditSubject { owner, sha1 }) = extensions.get() {
            self.owner = Some(owner.to_string());
            self.file = Some(sha1.to_string());
        }
        if let Some(AuditFile(sha1)) = extensions.get() {
            self.file = Some(sha1.to_string());
        }
        if let Some(component) = extensions.get::<Component>() {
            self.state.metrics.failed(*component);
        }
    }

    /// Counts bytes of the response's body.
    pub(super) fn add_sent(&mut self, bytes: usize) {
        self.sent += bytes as u64;
    }

    /// Records that the response's body failed before its end.
    pub(super) fn cut_off(&mut self, error: &dyn std::error::Error) {
        tracing::error!(request_id = self.id, %error, "response aborted");
        self.is_cut_off = true;
    }
}

impl Drop for RequestLog {
    fn drop(&mut self) {
        let took = self.began.elapsed();
        // The status that nginx logs for clients that closed the connection.
        let status = self.status.unwrap_or(499);
        let metrics = &self.state.metrics;
        let route = self.context.route.as_ref();
        let operation = route.map_or("none", |route| route.operation.as_str());
        metrics.end_request(operation, status, self.sent, took);
        if self.trace_id.is_some() {
            let (sent, is_cut_off) = (self.sent, self.is_cut_off);
            trace::end(&self.span, operation, self.status, sent, is_cut_off);
        }
        let milliseconds = took.as_secs_f64() * 1e3;
        if !route.is_some_and(|route| route.is_audited) {
            tracing::info!(
                request_id = self.id,
                method = self.method,
                path = self.path,
                client = self.client,
                operation,
                status,
                sent = self.sent,
                milliseconds,
                trace_id = self.trace_id,
                "request"
            );
            return;
        }
        let caller = self.context.caller.get();
        let owner = caller.map(|(_, owner)| owner.as_str());
        tracing::info!(
            target: "audit",
            request_id = self.id,
            actor = caller.map(|(identity, _)| identity.actor.as_str()),
            owner = owner.or(self.owner.as_deref()),
            operation,
            file_sha1 = self.file,
            client = self.client,
            method = self.method,
            path = self.path,
            status,
            sent = self.sent,
            milliseconds,
            trace_id = self.trace_id,
            "request"
        );
    }
}

/// The path, without the secret of a link in any spelling.
fn redacted_path(request: &ServiceRequest) -> String {
    let path = request.path();
    let decoded = percent_decode_str(path).decode_utf8_lossy();
    if decoded.to_ascii_lowercase().contains(LINKS) {
        format!("{LINKS}-")
    } else {
        path.to_owned()
    }
}
