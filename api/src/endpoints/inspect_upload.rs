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

/// Tells how far an upload has come
///
/// It waits for nobody who is sending bytes.
#[utoipa::path(
    get,
    tag = "uploads",
    params(UploadPath),
    security(("bearer" = ["files:write"])),
    extensions(("x-role" = json!("upload"))),
    responses(
        (status = 204, description = "How far it has come", headers(
            ("Upload-Offset" = u64, description = "How many bytes it has"),
            ("Upload-Complete" = String, description = "`?1` if it has become a file, `?0` if not"),
            ("Upload-Length" = u64, description = "How many bytes it will have, if that was said"),
            ("Upload-Limit" = String, description = "What it may be, and for how many seconds it is kept"),
            ("Location" = String, description = "The file's URL, if it has become one"),
            ("Cache-Control" = String, description = "`no-store`"),
        )),
        (status = 400, description = "`invalid-query`, or `invalid-header`: the request has a field of one that sends bytes"),
        (status = 404, description = "`upload-not-found`"),
        (status = 410, description = "`upload-gone`"),
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
