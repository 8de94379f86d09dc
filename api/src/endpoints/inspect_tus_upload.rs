//! `HEAD /tus/{upload_id}`

use actix_web::{HttpResponse, head, http::header, web};
use service::Protocol;

use crate::{
    auth::Caller,
    extract::{path::PathUpload, query::NoQuery},
    headers::tus,
    openapi::parameters::{TusVersion, UploadPath},
    problem::Problem,
    state::AppState,
};

/// Tells how far an upload by tus has come
///
/// It waits for nobody who is sending bytes. An upload whose last byte has come and that was not
/// completed, because the service died in between, is completed first.
#[utoipa::path(
    tag = "tus",
    params(UploadPath, TusVersion),
    security(("bearer" = ["files:write"])),
    extensions(("x-role" = json!("upload"))),
    responses(
        (status = 200, description = "How far it has come, and what was said of it", headers(
            ("Upload-Offset" = u64, description = "How many bytes it has; not there while it is being made of others"),
            ("Upload-Length" = u64, description = "How many bytes it will have, if that was said"),
            ("Upload-Defer-Length" = String, description = "`1` if not"),
            ("Upload-Metadata" = String, description = "As it was given"),
            ("Upload-Concat" = String, description = "As it was given"),
            ("Upload-Expires" = String, description = "Until when it is kept if nothing is heard of it"),
            ("Content-Location" = String, description = "The file's URL, if the upload is complete"),
            ("Cache-Control" = String, description = "`no-store`"),
        )),
        (status = 400, description = "`invalid-query`"),
        (status = 404, description = "`upload-not-found`"),
        (status = 409, description = "`superseded`, or `digest-collision`: the upload cannot be completed, and is over"),
        (status = 410, description = "`upload-gone`"),
        (status = 412, description = "`unsupported-version`"),
        (status = 422, description = "`digest-mismatch`: the upload cannot be completed, and is over"),
        (status = 507, description = "`storage-full` or `quota-full`: the upload cannot be completed now"),
    ),
)]
#[head("/tus/{upload_id}")]
pub(crate) async fn inspect_tus_upload(
    Caller(owner): Caller,
    state: web::Data<AppState>,
    PathUpload(id): PathUpload,
    _: NoQuery,
) -> Result<HttpResponse, Problem> {
    let status = state
        .service
        .upload_status(&owner, Protocol::Tus, id)
        .await?;
    let mut response = HttpResponse::Ok();
    response.insert_header((header::CACHE_CONTROL, "no-store"));
    tus::progress(&mut response, status.offset, status.session.expires_at);
    tus::describe(&mut response, &status.session);
    Ok(response.finish())
}
