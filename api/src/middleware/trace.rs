//! The trace span of a request, by OpenTelemetry's conventions for HTTP.
//!
//! The span names the route instead of the path, which may contain secrets, and omits the query.

use actix_web::{
    dev::ServiceRequest,
    http::{Method, Version, header::HeaderName},
};
use opentelemetry::{
    Context, global,
    propagation::Extractor,
    trace::{Status, TraceContextExt as _},
};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use telemetry::traces::trace_id;

/// The methods that the conventions name.
const METHODS: [Method; 9] = [
    Method::GET,
    Method::HEAD,
    Method::POST,
    Method::PUT,
    Method::PATCH,
    Method::DELETE,
    Method::OPTIONS,
    Method::TRACE,
    Method::CONNECT,
];

/// Starts the trace of a request, or continues the one in `traceparent`; returns the trace's id.
pub(crate) fn begin(
    span: &Span,
    request: &ServiceRequest,
    route: Option<&str>,
    is_tls: bool,
) -> Option<String> {
    if request.headers().contains_key("traceparent") {
        let parent = global::get_text_map_propagator(|propagator| {
            propagator.extract_with_context(&Context::new(), &Fields(request))
        });
        // Fails only if traces are disabled.
        let _ = span.set_parent(parent);
    }
    let context = span.context();
    let id = trace_id(&context)?;
    let known = METHODS.contains(request.method());
    let method = request.method().as_str();
    let shown = if known { method } else { "HTTP" };
    context.span().update_name(match route {
        Some(route) => format!("{shown} {route}"),
        None => shown.to_owned(),
    });
    let method = if known { method } else { "_OTHER" };
    span.set_attribute("http.request.method", method.to_owned());
    if let Some(route) = route {
        span.set_attribute("http.route", route.to_owned());
    }
    span.set_attribute("url.scheme", if is_tls { "https" } else { "http" });
    let version = match request.version() {
        Version::HTTP_10 => "1.0",
        Version::HTTP_2 => "2",
        _ => "1.1",
    };
    span.set_attribute("network.protocol.version", version);
    Some(id)
}

/// Records the outcome of a request.
pub(crate) fn end(span: &Span, operation: &str, status: Option<u16>, sent: u64, is_cut_off: bool) {
    span.set_attribute("fileserver.operation", operation.to_owned());
    let sent = i64::try_from(sent).unwrap_or(i64::MAX);
    span.set_attribute("http.response.body.size", sent);
    if let Some(status) = status {
        span.set_attribute("http.response.status_code", i64::from(status));
    }
    let failure = match status {
        Some(status) if status >= 500 => status.to_string(),
        _ if is_cut_off => "cut_off".to_owned(),
        // The client closed the connection, which is not an error of the service.
        _ => return,
    };
    span.set_attribute("error.type", failure);
    span.set_status(Status::error(""));
}

struct Fields<'a>(&'a ServiceRequest);

impl Extractor for Fields<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.headers().get(key)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.headers().keys().map(HeaderName::as_str).collect()
    }
}
