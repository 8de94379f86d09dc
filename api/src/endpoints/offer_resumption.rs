//! `OPTIONS` of the resources with resumable uploads: `/files`, `/files/{file_sha1}`, `/uploads/{upload_id}`

use actix_web::{HttpResponse, options, web};

use crate::{
    headers::resumption,
    openapi::{
        parameters::{FilePath, UploadPath},
        responses::ResumptionOffer,
    },
    state::AppState,
};

/// Limits of resumable uploads
#[utoipa::path(
    tag = "uploads",
    security(()),
    extensions(("x-role" = json!("upload"))),
    responses(
        ResumptionOffer,
    ),
)]
#[options("/files")]
pub(crate) async fn offer_resumption(state: web::Data<AppState>) -> HttpResponse {
    resumption::offer(state.service.limits())
}

/// Limits of resumable uploads by `PUT`
#[utoipa::path(
    tag = "uploads",
    params(FilePath),
    security(()),
    extensions(("x-role" = json!("upload"))),
    responses(
        ResumptionOffer,
    ),
)]
#[options("/files/{file_sha1}")]
pub(crate) async fn offer_resumption_to(state: web::Data<AppState>) -> HttpResponse {
    resumption::offer(state.service.limits())
}

/// Limits of resumable uploads, at the URL of an upload
///
/// The response is the same for every upload, and does not show its status.
#[utoipa::path(
    tag = "uploads",
    params(UploadPath),
    security(()),
    extensions(("x-role" = json!("upload"))),
    responses(
        ResumptionOffer,
    ),
)]
#[options("/uploads/{upload_id}")]
pub(crate) async fn offer_resumption_of(state: web::Data<AppState>) -> HttpResponse {
    resumption::offer(state.service.limits())
}
