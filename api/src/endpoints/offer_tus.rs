//! `OPTIONS /tus` and `OPTIONS /tus/{upload_id}`

use actix_web::{HttpResponse, options, web};

use crate::{
    headers::tus,
    openapi::{parameters::UploadPath, responses::TusOffer},
    state::AppState,
};

/// Supported version and extensions of tus
///
/// `Tus-Resumable` is optional here, and may have any value.
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

/// Supported version and extensions of tus, at the URL of an upload
///
/// The response is the same for every upload, and does not show its status.
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
