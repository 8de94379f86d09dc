//! `DELETE /files/{file_sha1}/links`

use actix_web::{HttpResponse, delete, web};

use crate::{
    auth::Caller,
    extract::{path::PathSha1, query::NoQuery},
    openapi::parameters::FilePath,
    problem::Problem,
    state::AppState,
};

/// Revokes all links to a file
///
/// The file is unchanged. The request also succeeds if there are no links.
#[utoipa::path(
    tag = "links",
    params(FilePath),
    security(("bearer" = ["files:write"])),
    extensions(("x-role" = json!("api"))),
    responses(
        (status = 204, description = "No link to the file works anymore"),
        (status = 400, description = "`invalid-sha1` or `invalid-query`"),
        (status = 404, description = "`not-found`"),
        (status = 507, description = "`storage-full`: nothing was changed"),
    ),
)]
#[delete("/files/{file_sha1}/links")]
pub(crate) async fn unshare_file(
    Caller(owner): Caller,
    state: web::Data<AppState>,
    PathSha1(sha1): PathSha1,
    _: NoQuery,
) -> Result<HttpResponse, Problem> {
    state.service.remove_links(&owner, &sha1).await?;
    Ok(HttpResponse::NoContent().finish())
}
