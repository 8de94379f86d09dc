//! What a resource accepts, in the header of responses that refuse something or are asked for it.

use std::rc::Rc;

use actix_web::{
    Error, HttpMessage as _, ResponseError as _,
    body::{BoxBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    http::{
        Method, StatusCode,
        header::{self, HeaderName, HeaderValue},
    },
    middleware::Next,
    web::Data,
};

use super::context::RequestContext;
use crate::{
    openapi::Contract,
    problem::{Problem, ProblemType},
};

/// The media types of a `PATCH` (RFC 5789 §3.1).
const ACCEPT_PATCH: HeaderName = HeaderName::from_static("accept-patch");

/// Adds the methods to responses to `OPTIONS`, and the media types to a 415 (RFC 9110 §15.5.16).
///
/// A preflight request that the settings do not allow gets a problem.
pub(crate) async fn advertise(
    contract: Data<Contract>,
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let method = request.method().clone();
    let path = (method == Method::OPTIONS).then(|| request.path().to_owned());
    let is_preflight = method == Method::OPTIONS
        && request.headers().contains_key(header::ORIGIN)
        && request
            .headers()
            .contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    let context = request.extensions().get::<Rc<RequestContext>>().cloned();
    let mut response = next.call(request).await?.map_into_boxed_body();
    if let Some(path) = path {
        let methods = HeaderValue::try_from(contract.methods_of(&path).join(", "))?;
        if is_preflight && response.status() == StatusCode::BAD_REQUEST {
            let detail = "pages of this origin may not make such requests; --cors-origins has the origins \
                          that may";
            let problem = Problem::new(ProblemType::ForeignSite, detail);
            response = response.into_response(problem.error_response());
        }
        let headers = response.headers_mut();
        if headers.contains_key(header::ACCESS_CONTROL_ALLOW_METHODS) {
            headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, methods.clone());
        }
        if !methods.is_empty() {
            headers.insert(header::ALLOW, methods);
        }
    }
    let is_about_type = response.status() == StatusCode::UNSUPPORTED_MEDIA_TYPE
        && !response.headers().contains_key(header::ACCEPT_ENCODING)
        && !response.headers().contains_key(ACCEPT_PATCH);
    if is_about_type
        && let Some(route) = context.as_ref().and_then(|context| context.route.as_ref())
    {
        let name = if method == Method::PATCH {
            ACCEPT_PATCH
        } else {
            header::ACCEPT
        };
        let types = HeaderValue::try_from(route.media_types.join(", "))?;
        response.headers_mut().insert(name, types);
    }
    Ok(response)
}
