//! Caching of responses (RFC 9111): what depends on the caller is never reused for another.

use std::rc::Rc;

use actix_web::{
    Error, HttpMessage as _,
    body::MessageBody,
    dev::{ServiceRequest, ServiceResponse},
    http::header::{self, HeaderName, HeaderValue},
    middleware::Next,
};

use super::context::RequestContext;
use crate::openapi::Access;

/// The fields by which responses to the same URL differ.
const CALLER_FIELDS: &str = "Authorization, X-Owner";

/// The caching rule of responses whose handler decided nothing.
const UNSTORED: HeaderValue = HeaderValue::from_static("no-store");

/// The ban on showing a response in pages of other origins (Fetch §3.7).
const CROSS_ORIGIN_RESOURCE_POLICY: HeaderName =
    HeaderName::from_static("cross-origin-resource-policy");

/// Adds the fields that keep a response from other callers and other sites.
///
/// A handler decides about the caching of its successes; anything else is not stored.
pub(crate) async fn keep_private(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let context = request.extensions().get::<Rc<RequestContext>>().cloned();
    let route = context.as_ref().and_then(|context| context.route.as_ref());
    let is_open = route.is_some_and(|route| route.access == Access::Open);
    let mut response = next.call(request).await?;
    let headers = response.headers_mut();
    if !headers.contains_key(header::CACHE_CONTROL) {
        headers.insert(header::CACHE_CONTROL, UNSTORED);
    }
    if !is_open {
        let others = headers
            .get(header::VARY)
            .and_then(|value| value.to_str().ok());
        let vary = match others {
            Some(others) => HeaderValue::try_from(format!("{others}, {CALLER_FIELDS}"))?,
            None => HeaderValue::from_static(CALLER_FIELDS),
        };
        headers.insert(header::VARY, vary);
        headers.insert(
            CROSS_ORIGIN_RESOURCE_POLICY,
            HeaderValue::from_static("same-origin"),
        );
    }
    Ok(response)
}
