//! `GET /files/{file_sha1}/content`

use actix_web::{HttpRequest, HttpResponse, route, web};

use crate::{
    auth::Caller,
    download::{DownloadRequest, read_disposition},
    extract::{path::PathSha1, query::Query},
    openapi::{
        parameters::{DownloadFields, FilePath, PreconditionFields, RevalidationFields},
        responses::FileBytes,
    },
    problem::Problem,
    state::AppState,
};

/// Downloads a file
///
/// The response has the whole file or the requested ranges. The entity tag is the SHA-1 and never
/// changes. `disposition=inline` lets a browser display the file, unless its media type can run
/// scripts; then the disposition remains `attachment`.
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
        FileBytes,
        (status = 400, description = "`invalid-sha1` or `invalid-query`"),
        (status = 404, description = "`not-found`"),
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
    let download = DownloadRequest {
        state: &state,
        owner: &owner,
        entry,
        inline,
        link: None,
    };
    download.answer(&request).await
}
