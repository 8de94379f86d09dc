//! `GET /d/{link_token}`

use std::{net::IpAddr, rc::Rc};

use actix_web::{
    HttpMessage as _, HttpRequest, HttpResponse,
    http::header::{self, HeaderValue},
    route, web,
};
use service::Visitor;

use crate::{
    download::DownloadRequest,
    extract::query::NoQuery,
    middleware::context::RequestContext,
    openapi::{
        parameters::{DownloadFields, PreconditionFields, RevalidationFields},
        responses::LinkedFileBytes,
    },
    problem::{Problem, ProblemType},
    state::AppState,
};

/// Downloads a file by a link
///
/// No credentials are needed. A link works until it expires, its downloads are used up, it is
/// revoked, or its file is deleted; after that, as for a link that never existed, the response is
/// 404.
///
/// A visit counts as one download: further requests of the same client, and requests with `If-Range`
/// from anywhere, belong to it for an hour after its last byte (by default), as long as all of them
/// ask for less than twice the file, and a link never gives away more whole copies than its number,
/// in whatever pieces. Where the rest of a visit is not enough for a request, it is another download.
/// `HEAD`, 304, 412 and 416 cost nothing.
#[utoipa::path(
    get,
    tag = "links",
    params(
        ("link_token" = String, Path, description = "Token of the link, the last segment of its URL", example = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"),
        DownloadFields,
        PreconditionFields,
        RevalidationFields,
    ),
    security(()),
    extensions(("x-role" = json!("download"))),
    responses(
        LinkedFileBytes,
        (status = 400, description = "`invalid-query`"),
        (status = 404, description = "`link-not-found`, for every reason why the link does not work"),
    ),
)]
#[route("/d/{link_token}", method = "GET", method = "HEAD")]
pub(crate) async fn follow_link(
    state: web::Data<AppState>,
    _: NoQuery,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let token = request.match_info().get("link_token").unwrap_or_default();
    let user_agent = request.headers().get(header::USER_AGENT);
    let visitor = Visitor {
        address: client_address(&request),
        user_agent: user_agent.map(HeaderValue::as_bytes).unwrap_or_default(),
    };
    let linked = state.service.follow_link(token, visitor).await?;
    let download = DownloadRequest {
        state: &state,
        owner: &linked.link.owner,
        entry: linked.entry.clone(),
        inline: linked.link.inline,
        link: Some(&linked),
    };
    let response = download.answer(&request).await;
    response.map_err(|problem| match problem.kind {
        // The file was purged a moment ago, which also ended the link.
        ProblemType::NotFound => service::Error::LinkNotFound.into(),
        _ => problem,
    })
}

fn client_address(request: &HttpRequest) -> Option<IpAddr> {
    let extensions = request.extensions();
    extensions.get::<Rc<RequestContext>>()?.client
}
