//! `GET /files/{file_sha1}/content`

use actix_web::{HttpRequest, HttpResponse, route, web};

use crate::{
    auth::Caller,
    download::{DownloadRequest, read_disposition},
    extract::{path::PathSha1, query::Query},
    openapi::parameters::{DownloadFields, FilePath, PreconditionFields, RevalidationFields},
    problem::Problem,
    response::FileContent,
    state::AppState,
};

/// Downloads a file
///
/// All of it, or the ranges that are asked for. The entity tag is the SHA-1 and never changes.
/// `disposition=inline` lets a browser show the file, unless it is of a type that can run script;
/// then it is still `attachment`.
#[utoipa::path(
    get,
    tag = "files",
    params(
        FilePath,
        ("disposition" = Option<String>, Query, description = "`attachment` (default) or `inline`", pattern = "^(attachment|inline)$"),
        DownloadFields,
        PreconditionFields,
        RevalidationFields,
    ),
    security(("bearer" = ["files:read"])),
    extensions(("x-role" = json!("download"))),
    responses(
        (status = 200, description = "The whole file, of its own media type", content((FileContent = "application/octet-stream"), (FileContent = "*/*")), headers(
            ("ETag" = String, description = "The file's SHA-1"),
            ("Last-Modified" = String, description = "When it was uploaded"),
            ("Content-Disposition" = String, description = "The file's name (RFC 6266, RFC 8187)"),
            ("Repr-Digest" = String, description = "The whole file's digests (RFC 9530)"),
            ("Accept-Ranges" = String, description = "`bytes`"),
            ("Cache-Control" = String, description = "`private, immutable`"),
            ("X-Content-Type-Options" = String, description = "`nosniff`"),
            ("Content-Security-Policy" = String, description = "Nothing that it could bring along may run"),
        )),
        (status = 206, description = "The ranges that were asked for: one, or several as `multipart/byteranges`", content((FileContent = "application/octet-stream"), (FileContent = "multipart/byteranges"), (FileContent = "*/*")), headers(
            ("ETag" = String, description = "The file's SHA-1"),
            ("Last-Modified" = String, description = "When it was uploaded"),
            ("Content-Range" = String, description = "Which bytes these are, if it is one range"),
            ("Content-Disposition" = String, description = "The file's name (RFC 6266, RFC 8187)"),
            ("Repr-Digest" = String, description = "The whole file's digests (RFC 9530)"),
            ("Accept-Ranges" = String, description = "`bytes`"),
            ("Cache-Control" = String, description = "`private, immutable`"),
            ("X-Content-Type-Options" = String, description = "`nosniff`"),
            ("Content-Security-Policy" = String, description = "Nothing that it could bring along may run"),
        )),
        (status = 307, description = "The bytes are to be had at another URL for a minute, if the settings send downloads to their store", headers(
            ("Location" = String, description = "Where they are; it is as good as the file"),
            ("Cache-Control" = String, description = "`private, no-store`"),
        )),
        (status = 304, description = "The client has the file", headers(
            ("ETag" = String, description = "The file's SHA-1"),
            ("Last-Modified" = String, description = "When it was uploaded"),
            ("Cache-Control" = String, description = "`private, immutable`"),
        )),
        (status = 400, description = "`invalid-sha1` or `invalid-query`"),
        (status = 404, description = "`not-found`"),
        (status = 412, description = "`precondition-failed`"),
        (status = 416, description = "`range-not-satisfiable`", headers(
            ("Content-Range" = String, description = "How many bytes there are, as `bytes */11`"),
        )),
    ),
)]
#[route("/files/{file_sha1}/content", method = "GET", method = "HEAD")]
pub(crate) async fn download_file(
    Caller(owner): Caller,
    state: web::Data<AppState>,
    PathSha1(sha1): PathSha1,
    mut query: Query,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let inline = read_disposition(&mut query)?.unwrap_or_default();
    query.end()?;
    let entry = state.service.find(&owner, &sha1).await?;
    let delivery = DownloadRequest {
        state: &state,
        owner: &owner,
        entry,
        inline,
        link: None,
    };
    delivery.answer(&request).await
}
