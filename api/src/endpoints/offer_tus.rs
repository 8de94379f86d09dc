//! `OPTIONS /tus`, and of each upload there

use actix_web::{HttpResponse, options, web};

use crate::{
    headers::tus,
    openapi::{parameters::UploadPath, responses::TusOffer},
    state::AppState,
};

/// Tells what of tus 1.0.0 is spoken
///
/// It needs no `Tus-Resumable`, and takes any.
#[utoipa::path(
    tag = "tus",
    security(()),
    extensions(("x-role" = json!("upload"))),
    responses(
        TusOffer,
    ),
)]
#[options("/tus")]
pub(crate) async fn offer_tus(state: web::Data<AppState>) -> HttpResponse {
    tus::offer(state.service.limits().max_upload_size)
}

/// Tells what of tus 1.0.0 is spoken, at an upload's URL
///
/// It says nothing about the upload.
#[utoipa::path(
    tag = "tus",
    params(UploadPath),
    security(()),
    extensions(("x-role" = json!("upload"))),
    responses(
        TusOffer,
    ),
)]
#[options("/tus/{upload_id}")]
pub(crate) async fn offer_tus_to(state: web::Data<AppState>) -> HttpResponse {
    tus::offer(state.service.limits().max_upload_size)
}
