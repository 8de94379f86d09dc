//! `DELETE /tus/{upload_id}`

use actix_web::{HttpResponse, delete, web};
use service::Protocol;

use crate::{
    auth::Caller,
    extract::{path::PathUpload, query::NoQuery},
    openapi::{
        parameters::{TusVersion, UploadPath},
        responses::RemovedUpload,
    },
    problem::Problem,
    state::AppState,
};

/// Terminates a tus upload
///
/// Its bytes are discarded. A file that it has created stays.
#[utoipa::path(
    tag = "tus",
    params(UploadPath, TusVersion),
    security(("bearer" = ["files:write"])),
    extensions(("x-role" = json!("upload"))),
    responses(
        RemovedUpload,
        (status = 412, description = "`unsupported-version`"),
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
