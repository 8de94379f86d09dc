//! `POST /files`

use actix_web::{HttpRequest, HttpResponse, post, web};
use domain::FileMeta;
use service::Expected;
use utoipa::ToSchema;

use crate::{
    auth::Caller,
    extract::{accept::AcceptsJson, query::Query},
    openapi::parameters::{ResumableFields, UploadFields},
    problem::Problem,
    response::FileContent,
    state::AppState,
    upload,
};

/// A form with a file.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it only tells the contract what the form has")]
struct UploadForm {
    /// The file; its `filename` names it unless `file_name` does.
    #[schema(value_type = String, format = Binary)]
    file: Vec<u8>,
    /// The file's name, if it is to be another than its part's; an empty one is none.
    // Swagger UI would send a made-up name if there were no example.
    #[schema(max_length = 255, nullable = false, example = "")]
    file_name: Option<String>,
}

/// Uploads a file
///
/// The file is a form's part `file`, or the whole body. A form names it by the part's `filename`
/// or by a part `file_name`, any request by `?file_name=`, and one whose body is the file by a
/// `Content-Disposition` field, too.
///
/// The file is stored safely when the answer comes. A content that the service has already is not
/// stored again. If the caller has it already, it keeps its name, and the answer is 200; if the
/// caller had deleted it, it is there again under the new name.
///
/// A `Repr-Digest` field announces the digest of the file, in the header or in the part's; a
/// `Content-Digest` field that of the message or of the part as it is sent. Both are verified, by
/// `sha-256` or `sha` (RFC 9530).
#[utoipa::path(
    tag = "files",
    params(
        ("file_name" = Option<String>, Query, description = "The file's name", min_length = 1, max_length = 255),
        UploadFields,
        ResumableFields,
    ),
    request_body(content((UploadForm = "multipart/form-data"), (FileContent = "application/octet-stream"))),
    security(("bearer" = ["files:write"])),
    extensions(("x-role" = json!("upload"))),
    responses(
        (status = 201, description = "The caller has the file now", body = FileMeta, headers(
            ("Location" = String, description = "The file's URL, `/files/{file_sha1}`; after `Upload-Complete: ?0` that of the upload, which has begun"),
            ("ETag" = String, description = "The entry's version"),
            ("Cache-Control" = String, description = "`private, no-cache`"),
            ("Upload-Complete" = String, description = "As the request's, or `?1` if the caller had the file already"),
            ("Upload-Offset" = u64, description = "How many bytes the upload has"),
            ("Upload-Limit" = String, description = "What the upload that has begun may be, and for how many seconds it is kept"),
        )),
        (status = 200, description = "The caller had the file already; it is as it was", body = FileMeta, headers(
            ("Location" = String, description = "The file's URL, `/files/{file_sha1}`"),
            ("ETag" = String, description = "The entry's version"),
            ("Cache-Control" = String, description = "`private, no-cache`"),
        )),
        (status = 400, description = "`invalid-file-name`, `invalid-query`, `invalid-header`, `invalid-body` or `inconsistent-upload-length`"),
        (status = 406, description = "`not-acceptable`"),
        (status = 409, description = "`digest-collision`: another content with this SHA-1 is stored"),
        (status = 413, description = "`too-large`", headers(
            ("Upload-Limit" = String, description = "What uploads may be, if the request has `Upload-Complete`"),
        )),
        (status = 415, description = "`unsupported-media-type`"),
        (status = 422, description = "`digest-mismatch`: nothing was stored"),
        (status = 507, description = "`storage-full` or `quota-full`: nothing was stored"),
    ),
)]
#[post("/files")]
pub(crate) async fn upload_file(
    _: AcceptsJson,
    Caller(owner): Caller,
    state: web::Data<AppState>,
    mut query: Query,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    let named = upload::query_file_name(query.one("file_name")?)?;
    query.end()?;
    let announced = Expected::default();
    upload::resumable::receive(&state, &owner, &request, payload, named, announced).await
}
