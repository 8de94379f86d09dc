//! `OPTIONS` where uploads can be resumed: `/files`, `/files/{file_sha1}`, `/uploads/{upload_id}`

use actix_web::{HttpResponse, options, web};

use crate::{
    headers::resumption,
    openapi::{
        parameters::{FilePath, UploadPath},
        responses::ResumptionOffer,
    },
    state::AppState,
};

/// Tells that uploads can be resumed, and what they may be
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

/// Tells that uploads by `PUT` can be resumed, and what they may be
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

/// Tells what uploads may be, at an upload's URL
///
/// It says nothing about the upload.
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
