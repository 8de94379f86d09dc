//! `DELETE /tus/{upload_id}`

use actix_web::{HttpResponse, delete, web};
use service::Protocol;

use crate::{
    auth::Caller,
    extract::{path::PathUpload, query::NoQuery},
    openapi::parameters::{TusVersion, UploadPath},
    problem::Problem,
    state::AppState,
};

/// Ends an upload by tus
///
/// Its bytes are dropped. A file that it has become stays.
#[utoipa::path(
    tag = "tus",
    params(UploadPath, TusVersion),
    security(("bearer" = ["files:write"])),
    extensions(("x-role" = json!("upload"))),
    responses(
        (status = 204, description = "It is gone"),
        (status = 400, description = "`invalid-query`"),
        (status = 404, description = "`upload-not-found`"),
        (status = 409, description = "`superseded`"),
        (status = 410, description = "`upload-gone`"),
        (status = 412, description = "`unsupported-version`"),
        (status = 507, description = "`storage-full`: the upload stays, without its bytes"),
    ),
)]
#[delete("/tus/{upload_id}")]
pub(crate) async fn remove_tus_upload(
    Caller(owner): Caller,
    state: web::Data<AppState>,
    PathUpload(id): PathUpload,
    _: NoQuery,
) -> Result<HttpResponse, Problem> {
    let service = &state.service;
    service.remove_upload(&owner, Protocol::Tus, id).await?;
    Ok(HttpResponse::NoContent().finish())
}
