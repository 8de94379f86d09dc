//! `GET /d/{link_token}`

use std::rc::Rc;

use actix_web::{
    HttpMessage as _, HttpRequest, HttpResponse,
    http::header::{self, HeaderValue},
    route, web,
};

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
/// 404. `HEAD` and 304 do not count as downloads.
///
/// What a visitor (an address and a `User-Agent`) gets in parts counts as one download, as long as it
/// is less than two copies of the file: a player that asks for the beginning first, or a download that
/// goes on after a break. Each further copy for the same visitor counts.
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
    let address = {
        let extensions = request.extensions();
        let context = extensions.get::<Rc<RequestContext>>();
        context.and_then(|context| context.client)
    };
    let address = address.map(|address| address.to_string());
    let agent = request.headers().get(header::USER_AGENT);
    let linked = state
        .service
        .follow_link(
            token,
            address.as_deref().unwrap_or_default(),
            agent.map(HeaderValue::as_bytes).unwrap_or_default(),
        )
        .await?;
    let download = DownloadRequest {
        state: &state,
        owner: &linked.visit.link.owner,
        entry: linked.entry,
        inline: linked.visit.link.inline,
        visit: Some(&linked.visit),
    };
    let response = download.answer(&request).await;
    response.map_err(|problem| match problem.kind {
        // The file was purged a moment ago, which also ended the link.
        ProblemType::NotFound => service::Error::LinkNotFound.into(),
        _ => problem,
    })
}
