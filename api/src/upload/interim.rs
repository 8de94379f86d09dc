//! Interim responses to uploads.

use std::rc::Rc;

use actix_web::{
    HttpMessage as _, HttpRequest,
    http::header::{self, HeaderName, HeaderValue},
};

use crate::{connection::ConnectionContext, middleware::context::RequestContext};

/// The fields that proxies add.
const PROXY_FIELDS: [HeaderName; 3] = [
    header::VIA,
    header::FORWARDED,
    HeaderName::from_static("x-forwarded-for"),
];

/// Returns whether an interim response reaches the client.
///
/// A proxy may take it for the final one, as nginx does.
pub(super) fn is_possible(request: &HttpRequest) -> bool {
    let extensions = request.extensions();
    let context = extensions.get::<Rc<RequestContext>>();
    let is_proxied = context.is_some_and(|context| context.is_proxied)
        || PROXY_FIELDS
            .iter()
            .any(|name| request.headers().contains_key(name));
    let connection = extensions.get::<ConnectionContext>();
    !is_proxied && connection.is_some_and(|connection| connection.interim.is_possible())
}

/// Sends an interim response.
pub(super) fn send(
    request: &HttpRequest,
    status: u16,
    reason: &str,
    fields: &[(HeaderName, HeaderValue)],
) {
    if let Some(connection) = request.extensions().get::<ConnectionContext>() {
        connection.interim.send(status, reason, fields);
    }
}
