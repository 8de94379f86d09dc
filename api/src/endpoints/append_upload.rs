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

/// Appends to an upload
///
/// What arrives is kept, even if the connection breaks; with `Content-Digest` it is kept whole or
/// not at all. With `Upload-Complete: ?1` the upload is complete when all of the body has come,
/// which may be empty, and the answer is that of an upload. A newer request for the same upload
/// ends one that is running. More bytes than were announced make the upload invalid for good.
#[utoipa::path(
    tag = "uploads",
    params(
        UploadPath,
        ("Upload-Offset" = u64, Header, description = "How many bytes the upload has"),
        ("Upload-Complete" = String, Header, description = "`?1` if these are the last bytes, `?0` if not"),
        ("Upload-Length" = Option<u64>, Header, description = "How many bytes the upload will have"),
        ("Content-Digest" = Option<String>, Header, description = "The digests of the request's body (RFC 9530)"),
    ),
    request_body(content = FileContent, content_type = "application/partial-upload"),
    security(("bearer" = ["files:write"])),
    extensions(("x-role" = json!("upload"))),
    responses(
        CompletedUpload,
        (status = 204, description = "The bytes are kept", headers(
            ("Upload-Offset" = u64, description = "How many bytes the upload has"),
            ("Upload-Complete" = String, description = "`?0`"),
            ("Upload-Limit" = String, description = "What it may be, and for how many seconds it is kept"),
        )),
        (status = 400, description = "`invalid-header`, `invalid-query`, `invalid-body`, `inconsistent-upload-length` or `completed-upload`", headers(
            ("Upload-Complete" = String, description = "`?1` if the upload is complete"),
        )),
        (status = 404, description = "`upload-not-found`, or `not-found`: the file that the upload has become was deleted"),
        (status = 409, description = "`mismatching-upload-offset`, `superseded`, or `digest-collision`: the upload is over", headers(
            ("Upload-Offset" = u64, description = "How many bytes the upload has"),
            ("Upload-Complete" = String, description = "`?0`"),
        )),
        (status = 410, description = "`upload-gone`"),
        (status = 413, description = "`too-large`", headers(
            ("Upload-Limit" = String, description = "What uploads may be"),
        )),
        (status = 415, description = "`unsupported-media-type`"),
        (status = 422, description = "`digest-mismatch`: nothing was kept of the request's bytes, or, with `Upload-Complete: ?1`, the upload is over", headers(
            ("Upload-Complete" = String, description = "`?1` if the upload is over"),
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
