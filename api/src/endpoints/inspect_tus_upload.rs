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

/// Status of a tus upload
///
/// A request that is still appending bytes is ended, and what it received is kept: the next append
/// is accepted at the reported offset. If the service crashed after it received the last byte and
/// before it completed the upload, this completes the upload first.
#[utoipa::path(
    tag = "tus",
    params(UploadPath, TusVersion),
    security(("bearer" = ["files:write"])),
    extensions(("x-role" = json!("upload"))),
    responses(
        (status = 200, description = "Status and metadata of the upload", headers(
            ("Upload-Offset" = u64, description = "Current offset of the upload; absent while a concatenation is in progress"),
            ("Upload-Length" = u64, description = "Total length in bytes, if it is known"),
            ("Upload-Defer-Length" = String, description = "`1` if the length is not known yet"),
            ("Upload-Metadata" = String, description = "As the client sent it at creation"),
            ("Upload-Concat" = String, description = "As the client sent it at creation"),
            ("Upload-Expires" = String, description = "Time at which the upload expires without activity"),
            ("Content-Location" = String, description = "URL of the file, if the upload is complete"),
            ("Cache-Control" = String, description = "`no-store`"),
        )),
        (status = 400, description = "`invalid-query`"),
        (status = 404, description = "`upload-not-found`"),
        (status = 409, description = "`superseded`, or `digest-collision`: the upload cannot be completed, and has ended"),
        (status = 410, description = "`upload-gone`: the upload has expired or failed, or its file was deleted"),
        (status = 412, description = "`unsupported-version`"),
        (status = 422, description = "`digest-mismatch`: the upload cannot be completed, and has ended"),
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
