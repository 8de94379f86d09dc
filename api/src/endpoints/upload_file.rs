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
