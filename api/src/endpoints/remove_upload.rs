//! `DELETE /uploads/{upload_id}`

use actix_web::{HttpResponse, delete, web};
use service::Protocol;

use crate::{
    auth::Caller,
    extract::{path::PathUpload, query::NoQuery},
    openapi::{parameters::UploadPath, responses::RemovedUpload},
    problem::Problem,
    state::AppState,
};

/// Cancels an upload
///
/// Its bytes are discarded. A file that it has created stays.
#[utoipa::path(
    tag = "uploads",
    params(UploadPath),
    security(("bearer" = ["files:write"])),
    extensions(("x-role" = json!("upload"))),
    responses(
        RemovedUpload,
    ),
)]
#[delete("/uploads/{upload_id}")]
pub(crate) async fn remove_upload(
    Caller(owner): Caller,
    state: web::Data<AppState>,
    PathUpload(id): PathUpload,
    _: NoQuery,
) -> Result<HttpResponse, Problem> {
    let service = &state.service;
    service.remove_upload(&owner, Protocol::Http, id).await?;
    Ok(HttpResponse::NoContent().finish())
}
