//! `PATCH /uploads/{upload_id}`

use actix_web::{HttpRequest, HttpResponse, patch, web};

use crate::{
    auth::Caller,
    extract::{path::PathUpload, query::NoQuery},
    openapi::{parameters::UploadPath, responses::CompletedUpload},
    problem::Problem,
    response::FileContent,
    state::AppState,
    upload::resumable,
};

/// Appends bytes to an upload
///
/// The service keeps the received bytes even if the connection breaks; with `Content-Digest`, all
/// of them or none. With `Upload-Complete: ?1` the upload is complete at the end of the body, which
/// may be empty, and the response is that of a file upload. A newer request for the same upload
/// ends a running one. More bytes than announced make the upload permanently invalid.
#[utoipa::path(
    tag = "uploads",
    params(
        UploadPath,
        ("Upload-Offset" = u64, Header, description = "Current offset of the upload"),
        ("Upload-Complete" = String, Header, description = "`?1` if these are the last bytes, otherwise `?0`"),
        ("Upload-Length" = Option<u64>, Header, description = "Total length of the upload in bytes"),
        ("Content-Digest" = Option<String>, Header, description = "Digests of the request body (RFC 9530)"),
    ),
    request_body(content = FileContent, content_type = "application/partial-upload"),
    security(("bearer" = ["files:write"])),
    extensions(("x-role" = json!("upload"))),
    responses(
        CompletedUpload,
        (status = 204, description = "The bytes are stored", headers(
            ("Upload-Offset" = u64, description = "Current offset of the upload"),
            ("Upload-Complete" = String, description = "`?0`"),
            ("Upload-Limit" = String, description = "Limits of the upload, and its remaining lifetime in seconds"),
        )),
        (status = 400, description = "`invalid-header`, `invalid-query`, `invalid-body`, `inconsistent-upload-length` or `completed-upload`", headers(
            ("Upload-Complete" = String, description = "`?1` if the upload is complete"),
        )),
        (status = 404, description = "`upload-not-found`"),
        (status = 409, description = "`mismatching-upload-offset`, `superseded`, or `digest-collision`: the upload has ended", headers(
            ("Upload-Offset" = u64, description = "Current offset of the upload"),
            ("Upload-Complete" = String, description = "`?0`"),
        )),
        (status = 410, description = "`upload-gone`: the upload has expired or failed, or its file was deleted"),
        (status = 413, description = "`too-large`", headers(
            ("Upload-Limit" = String, description = "Limits of uploads"),
        )),
        (status = 415, description = "`unsupported-media-type`"),
        (status = 422, description = "`digest-mismatch`: the bytes of the request were discarded, or, with `Upload-Complete: ?1`, the upload has ended", headers(
            ("Upload-Complete" = String, description = "`?1` if the upload has ended"),
        )),
        (status = 507, description = "`storage-full` or `quota-full`"),
    ),
)]
#[patch("/uploads/{upload_id}")]
pub(crate) async fn append_upload(
    Caller(owner): Caller,
    state: web::Data<AppState>,
    PathUpload(id): PathUpload,
    _: NoQuery,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    resumable::go_on(&state, &owner, id, &request, payload).await
}
