//! `GET /d/{link_token}`

use actix_web::{HttpRequest, HttpResponse, route, web};

use crate::{
    download::DownloadRequest,
    extract::query::NoQuery,
    openapi::parameters::{DownloadFields, PreconditionFields, RevalidationFields},
    problem::{Problem, ProblemType},
    response::FileContent,
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
        (status = 200, description = "The whole file, of its own media type", content((FileContent = "application/octet-stream"), (FileContent = "*/*")), headers(
            ("ETag" = String, description = "The file's SHA-1"),
            ("Last-Modified" = String, description = "When it was uploaded"),
            ("Content-Disposition" = String, description = "The file's name (RFC 6266, RFC 8187)"),
            ("Repr-Digest" = String, description = "The whole file's digests (RFC 9530)"),
            ("Accept-Ranges" = String, description = "`bytes`"),
            ("Cache-Control" = String, description = "`private, no-cache`"),
            ("X-Content-Type-Options" = String, description = "`nosniff`"),
            ("Content-Security-Policy" = String, description = "Nothing that it could bring along may run"),
            ("Referrer-Policy" = String, description = "`no-referrer`"),
        )),
        (status = 206, description = "The ranges that were asked for: one, or several as `multipart/byteranges`", content((FileContent = "application/octet-stream"), (FileContent = "multipart/byteranges"), (FileContent = "*/*")), headers(
            ("ETag" = String, description = "The file's SHA-1"),
            ("Last-Modified" = String, description = "When it was uploaded"),
            ("Content-Range" = String, description = "Which bytes these are, if it is one range"),
            ("Content-Disposition" = String, description = "The file's name (RFC 6266, RFC 8187)"),
            ("Repr-Digest" = String, description = "The whole file's digests (RFC 9530)"),
            ("Accept-Ranges" = String, description = "`bytes`"),
            ("Cache-Control" = String, description = "`private, no-cache`"),
            ("X-Content-Type-Options" = String, description = "`nosniff`"),
            ("Content-Security-Policy" = String, description = "Nothing that it could bring along may run"),
            ("Referrer-Policy" = String, description = "`no-referrer`"),
        )),
        (status = 307, description = "The bytes are to be had at another URL for a minute, if the settings send downloads to their store", headers(
            ("Location" = String, description = "Where they are; it is as good as the file"),
            ("Cache-Control" = String, description = "`private, no-store`"),
        )),
        (status = 304, description = "The client has the file", headers(
            ("ETag" = String, description = "The file's SHA-1"),
            ("Last-Modified" = String, description = "When it was uploaded"),
            ("Cache-Control" = String, description = "`private, no-cache`"),
        )),
        (status = 400, description = "`invalid-query`"),
        (status = 404, description = "`link-not-found`, whatever is wrong with it"),
        (status = 412, description = "`precondition-failed`"),
        (status = 416, description = "`range-not-satisfiable`", headers(
            ("Content-Range" = String, description = "How many bytes there are, as `bytes */11`"),
        )),
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
