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

/// Downloads the file that a link leads to
///
/// It needs no credentials. A link works until it expires, its downloads are used up, it is
/// revoked, or its file is deleted; then, as for what was never a link, there is nothing here.
/// Every answer with bytes counts as a download; `HEAD` and 304 do not.
#[utoipa::path(
    get,
    tag = "links",
    params(
        ("link_token" = String, Path, description = "What the link's URL ends with", example = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"),
        DownloadFields,
        PreconditionFields,
        RevalidationFields,
    ),
    security(()),
    extensions(("x-role" = json!("download"))),
    responses(
        LinkedFileBytes,
        (status = 400, description = "`invalid-query`"),
        (status = 404, description = "`link-not-found`, whatever is wrong with it"),
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
    let delivery = DownloadRequest {
        state: &state,
        owner: &linked.link.owner,
        entry: linked.entry,
        inline: linked.link.inline,
        link: Some(&linked.link),
    };
    let answered = delivery.answer(&request).await;
    answered.map_err(|problem| match problem.kind {
        // Purged a moment ago; so the link has ended.
        ProblemType::NotFound => service::Error::LinkNotFound.into(),
        _ => problem,
    })
}
