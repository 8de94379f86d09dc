//! `GET /d/{link_token}`

use actix_web::{HttpRequest, HttpResponse, route, web};

use crate::{
    download::DownloadRequest,
    extract::query::NoQuery,
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
/// 404. Every response with bytes counts as a download; `HEAD` and 304 do not.
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
    let linked = state.service.follow_link(token).await?;
    let download = DownloadRequest {
        state: &state,
        owner: &linked.link.owner,
        entry: linked.entry,
        inline: linked.link.inline,
        link: Some(&linked.link),
    };
    let response = download.answer(&request).await;
    response.map_err(|problem| match problem.kind {
        // The file was purged a moment ago, which also ended the link.
        ProblemType::NotFound => service::Error::LinkNotFound.into(),
        _ => problem,
    })
}
