//! `POST /files`

use actix_web::{HttpRequest, HttpResponse, post, web};
use service::Expected;
use utoipa::ToSchema;

use crate::{
    auth::Caller,
    extract::{accept::AcceptsJson, query::Query},
    openapi::{
        parameters::{ResumableFields, UploadFields},
        responses::UploadedFile,
    },
    problem::Problem,
    response::FileContent,
    state::AppState,
    upload,
};

/// A form that contains a file.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only the contract uses it")]
struct UploadForm {
    /// The file; its name is the part's `filename` unless there is a `file_name`.
    #[schema(value_type = String, format = Binary)]
    file: Vec<u8>,
    /// The name of the file, if it differs from the part's `filename`; an empty one is ignored.
    // Without an example Swagger UI sends a placeholder as the name.
    #[schema(max_length = 255, nullable = false, example = "")]
    file_name: Option<String>,
}

/// Uploads a file
///
/// The file is the part `file` of a form, or the whole request body. Every request can name it by
/// `?file_name=`; a form also by the `filename` of the part or by a part `file_name`, and a request
/// whose body is the file also by a `Content-Disposition` field.
///
/// The file is stored durably before the response is sent. Content that the service already has is
/// not stored again. If the caller already has the file, it keeps its name, and the response is 200;
/// if the caller had deleted it, it is restored under the new name.
///
/// A `Repr-Digest` field, of the request or of the part, announces a digest of the file; a
/// `Content-Digest` field a digest of the message or of the part as it is sent. Both are verified,
/// with `sha-256` or `sha` (RFC 9530).
#[utoipa::path(
    tag = "files",
    params(
        ("file_name" = Option<String>, Query, description = "Name of the file", min_length = 1, max_length = 255),
        UploadFields,
        ResumableFields,
    ),
    request_body(content((UploadForm = "multipart/form-data"), (FileContent = "application/octet-stream"))),
    security(("bearer" = ["files:write"])),
    extensions(("x-role" = json!("upload"))),
    responses(
        UploadedFile,
        (status = 400, description = "`invalid-file-name`, `invalid-query`, `invalid-header`, `invalid-body` or `inconsistent-upload-length`"),
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
