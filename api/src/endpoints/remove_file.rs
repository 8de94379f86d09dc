//! `DELETE /files/{file_sha1}`

use actix_web::{HttpRequest, HttpResponse, delete, web};

use crate::{
    auth::Caller,
    extract::{path::PathSha1, query::Query},
    headers::conditional::{entry_tag, matches},
    openapi::parameters::{FilePath, PreconditionFields},
    problem::Problem,
    state::AppState,
};

/// Deletes a file
///
/// A deleted file can be restored, and is listed with `status=deleted`. With `purge=true` it can
/// no longer be restored; this also applies to a file that is already deleted. Files of other owners
/// with the same content are not affected.
#[utoipa::path(
    tag = "files",
    params(
        FilePath,
        ("purge" = Option<bool>, Query, description = "Delete the file permanently, without the possibility to restore it"),
        PreconditionFields,
    ),
    security(("bearer" = ["files:write"])),
    extensions(("x-role" = json!("api"))),
    responses(
        (status = 204, description = "The file is deleted"),
        (status = 400, description = "`invalid-sha1` or `invalid-query`"),
        (status = 404, description = "`not-found`: the file does not exist, or is already deleted"),
        (status = 412, description = "`precondition-failed`"),
        (status = 507, description = "`storage-full`: nothing was changed"),
    ),
)]
#[delete("/files/{file_sha1}")]
pub(crate) async fn remove_file(
    Caller(owner): Caller,
    state: web::Data<AppState>,
    PathSha1(sha1): PathSha1,
    mut query: Query,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let purge = query.flag("purge")?;
    query.end()?;
    let unchanged = |entry: &service::Entry| matches(&request, &entry_tag(entry));
    let service = &state.service;
    service.remove(&owner, &sha1, purge, unchanged).await?;
    Ok(HttpResponse::NoContent().finish())
}
