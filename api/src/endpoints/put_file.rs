//! `PUT /files/{file_sha1}`

use actix_web::{HttpRequest, HttpResponse, http::header, put, web};
use domain::FileMeta;
use service::Expected;

use crate::{
    auth::Caller,
    extract::{accept::AcceptsJson, path::PathSha1, query::Query},
    openapi::parameters::{FilePath, ResumableFields, UploadFields},
    problem::{Problem, ProblemLocation, ProblemType},
    response::FileContent,
    state::AppState,
    upload,
};

/// Uploads a file whose SHA-1 is known
///
/// The whole body is the file. It is stored only if it has the SHA-1 in the URL. It is named by
/// `?file_name=` or by a `Content-Disposition` field. Otherwise this is as uploading by `POST`.
#[utoipa::path(
    tag = "files",
    params(
        FilePath,
        ("file_name" = Option<String>, Query, description = "The file's name", min_length = 1, max_length = 255, example = "hello.txt"),
        UploadFields,
        ResumableFields,
    ),
    request_body(content((FileContent = "application/octet-stream"))),
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
        (status = 400, description = "`invalid-sha1`, `invalid-file-name`, `invalid-query`, `invalid-header`, `invalid-body` or `inconsistent-upload-length`"),
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
#[put("/files/{file_sha1}")]
pub(crate) async fn put_file(
    _: AcceptsJson,
    Caller(owner): Caller,
    state: web::Data<AppState>,
    PathSha1(sha1): PathSha1,
    mut query: Query,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    let named = upload::query_file_name(query.one("file_name")?)?;
    query.end()?;
    refuse_form(&request)?;
    let announced = Expected {
        sha1: Some(sha1),
        ..Expected::default()
    };
    upload::resumable::receive(&state, &owner, &request, payload, named, announced).await
}

fn refuse_form(request: &HttpRequest) -> Result<(), Problem> {
    let content_type = request.headers().get(header::CONTENT_TYPE);
    let is_form = content_type.is_some_and(|value| {
        value
            .as_bytes()
            .to_ascii_lowercase()
            .starts_with(b"multipart/")
    });
    if is_form {
        let detail = "the body is the file itself; send a form by POST /files";
        return Err(Problem::new(ProblemType::UnsupportedMediaType, detail)
            .named(ProblemLocation::Header, header::CONTENT_TYPE.as_str()));
    }
    Ok(())
}
