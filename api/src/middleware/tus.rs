//! The parts of tus 1.0.0 that concern every one of its messages: the method and the version
//! (<https://tus.io/protocols/resumable-upload>).

use actix_web::{
    Error, ResponseError as _,
    body::{BoxBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    http::{Method, Uri},
    middleware::Next,
};

use crate::{
    headers::tus::{METHOD_OVERRIDE, PREFIX, TUS_RESUMABLE, TUS_VERSION, VERSION},
    problem::{Problem, ProblemType},
};

fn is_tus(request: &ServiceRequest) -> bool {
    // The path as the router sees it, with escapes decoded.
    let path = request.match_info().as_str();
    path.strip_prefix(PREFIX)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Accepts `/tus/`, which some clients are configured with, as `/tus`.
fn strip_trailing_slash(request: &mut ServiceRequest) {
    let path_and_query = match request.uri().query() {
        _ if request.path() != "/tus/" => return,
        Some(query) => format!("{PREFIX}?{query}"),
        None => PREFIX.to_owned(),
    };
    let mut parts = request.uri().clone().into_parts();
    parts.path_and_query = path_and_query.parse().ok();
    if let Ok(url) = Uri::from_parts(parts) {
        request.match_info_mut().get_mut().update(&url);
        request.head_mut().uri = url;
    }
}

/// Applies `X-HTTP-Method-Override`, and accepts either form of the URL.
pub(crate) async fn method_override(
    mut request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    strip_trailing_slash(&mut request);
    let method = request
        .headers()
        .get(METHOD_OVERRIDE)
        .and_then(|method| Method::from_bytes(method.as_bytes()).ok());
    if let Some(method) = method.filter(|_| is_tus(&request)) {
        request.head_mut().method = method;
    }
    next.call(request).await
}

/// Refuses other versions of the protocol, and states the version in every response.
///
/// `OPTIONS` is how a client learns the version, so it is answered without one.
pub(crate) async fn negotiate_version(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    if !is_tus(&request) || *request.method() == Method::OPTIONS {
        return Ok(next.call(request).await?.map_into_boxed_body());
    }
    let is_supported = request.headers().get(TUS_RESUMABLE) == Some(&VERSION);
    let mut response = if is_supported {
        next.call(request).await?.map_into_boxed_body()
    } else {
        let detail = "send Tus-Resumable: 1.0.0";
        let problem =
            Problem::new(ProblemType::UnsupportedVersion, detail).with_header(TUS_VERSION, VERSION);
        request.into_response(problem.error_response())
    };
    response.headers_mut().insert(TUS_RESUMABLE, VERSION);
    Ok(response)
}
