//! `PUT /files/{file_sha1}`

use actix_web::{HttpRequest, HttpResponse, http::header, put, web};
use service::Expected;

use crate::{
    auth::Caller,
    extract::{accept::AcceptsJson, path::PathSha1, query::Query},
    openapi::{
        parameters::{FilePath, ResumableFields, UploadFields},
        responses::UploadedFile,
    },
    problem::{Problem, ProblemLocation, ProblemType},
    response::FileContent,
    state::AppState,
    upload,
};

/// Uploads a file with a known SHA-1
///
/// The request body is the file. It is stored only if its SHA-1 is that in the URL. Its name is
/// `?file_name=` or in a `Content-Disposition` field. Otherwise this works as an upload by `POST`.
#[utoipa::path(
    tag = "files",
    params(
        FilePath,
        ("file_name" = Option<String>, Query, description = "Name of the file", min_length = 1, max_length = 255, example = "hello.txt"),
        UploadFields,
        ResumableFields,
    ),
    request_body(content((FileContent = "application/octet-stream"))),
    security(("bearer" = ["files:write"])),
    extensions(("x-role" = json!("upload"))),
    responses(
        UploadedFile,
        (status = 400, description = "`invalid-sha1`, `invalid-file-name`, `invalid-query`, `invalid-header`, `invalid-body` or `inconsistent-upload-length`"),
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
        let detail = "the request body is the file itself; send forms with POST /files";
        return Err(Problem::new(ProblemType::UnsupportedMediaType, detail)
            .named(ProblemLocation::Header, header::CONTENT_TYPE.as_str()));
    }
    Ok(())
}
