//! `GET /uploads/{upload_id}`

use actix_web::{HttpRequest, HttpResponse, http::header, route, web};
use service::{Protocol, SessionState};

use crate::{
    auth::Caller,
    extract::{path::PathUpload, query::NoQuery},
    headers::resumption::{self, UPLOAD_LENGTH},
    openapi::parameters::UploadPath,
    problem::Problem,
    state::AppState,
};

/// Status of an upload
///
/// A request that is still appending bytes is ended, and what it received is kept: the next append
/// is accepted at the reported offset.
#[utoipa::path(
    get,
    tag = "uploads",
    params(UploadPath),
    security(("bearer" = ["files:write"])),
    extensions(("x-role" = json!("upload"))),
    responses(
        (status = 204, description = "Status of the upload", headers(
            ("Upload-Offset" = u64, description = "Current offset of the upload"),
            ("Upload-Complete" = String, description = "`?1` if the upload is complete, otherwise `?0`"),
            ("Upload-Length" = u64, description = "Total length in bytes, if it is known"),
            ("Upload-Limit" = String, description = "Limits of the upload, and its remaining lifetime in seconds"),
            ("Location" = String, description = "URL of the file, if the upload is complete"),
            ("Cache-Control" = String, description = "`no-store`"),
        )),
        (status = 400, description = "`invalid-query`, or `invalid-header`: the request has a field that is only valid with bytes"),
        (status = 404, description = "`upload-not-found`"),
        (status = 410, description = "`upload-gone`: the upload has expired or failed, or its file was deleted"),
    ),
)]
#[route("/uploads/{upload_id}", method = "GET", method = "HEAD")]
pub(crate) async fn inspect_upload(
    Caller(owner): Caller,
    state: web::Data<AppState>,
    PathUpload(id): PathUpload,
    _: NoQuery,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    resumption::refuse_sending(request.headers())?;
    let service = &state.service;
    let status = service.upload_status(&owner, Protocol::Http, id).await?;
    let session = &status.session;
    let mut response = HttpResponse::NoContent();
    let is_complete = matches!(session.state, SessionState::Done(_));
    let offset = status.offset.unwrap_or_default();
    resumption::progress(&mut response, offset, is_complete);
    if let Some(length) = session.length {
        response.insert_header((UPLOAD_LENGTH, length));
    }
    if let SessionState::Done(sha1) = session.state {
        response.insert_header((header::LOCATION, format!("/files/{sha1}")));
    }
    let age = service.time_until(session.expires_at);
    response
        .insert_header(resumption::limit(service.limits(), age))
        .insert_header((header::CACHE_CONTROL, "no-store"));
    Ok(response.finish())
}
