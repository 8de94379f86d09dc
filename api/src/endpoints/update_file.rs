//! `PATCH /files/{file_sha1}`

use actix_web::{
    HttpRequest, HttpResponse,
    http::header::{self, HeaderName, HeaderValue},
    patch, web,
};
use domain::{FileMeta, FileStatus};
use serde::Deserialize;
use serde_json::Value;
use service::FileUpdate;
use utoipa::ToSchema;

use crate::{
    auth::Caller,
    extract::{accept::AcceptsJson, body, path::PathSha1, query::NoQuery},
    headers::conditional::{entry_tag, matches},
    openapi::parameters::{FilePath, PreconditionFields},
    problem::{Problem, ProblemLocation, ProblemType},
    response::describe,
    state::AppState,
};

const MEDIA_TYPES: [&str; 2] = ["application/merge-patch+json", "application/json"];

/// A change of a file; absent members stay unchanged.
#[derive(Deserialize, ToSchema)]
#[schema(example = json!({"file_name": "renamed.txt"}))]
#[expect(dead_code, reason = "only the contract uses it")]
struct FileChange {
    /// The new name.
    #[schema(
        min_length = 1,
        max_length = 255,
        nullable = false,
        example = "renamed.txt"
    )]
    file_name: Option<String>,
    /// `deleted` deletes it, `available` restores it.
    #[schema(nullable = false)]
    status: Option<FileStatus>,
}

/// Renames, deletes or restores a file
///
/// The request body is a merge patch (RFC 7396) with the members `file_name` and `status`. For a
/// deleted file the response is 404 unless the patch restores it. A patch with the current values
/// changes nothing.
#[utoipa::path(
    tag = "files",
    params(
        FilePath, PreconditionFields
    ),
    request_body(content((FileChange = "application/merge-patch+json"), (FileChange = "application/json"))),
    security(("bearer" = ["files:write"])),
    extensions(("x-role" = json!("api"))),
    responses(
        (status = 200, description = "File metadata after the change", body = FileMeta, headers(
            ("ETag" = String, description = "New version of the entry"),
            ("Cache-Control" = String, description = "`private, no-cache`"),
        )),
        (status = 400, description = "`invalid-sha1`, `invalid-query`, `invalid-body` or `invalid-file-name`"),
        (status = 404, description = "`not-found`"),
        (status = 406, description = "`not-acceptable`"),
        (status = 412, description = "`precondition-failed`"),
        (status = 413, description = "`too-large`"),
        (status = 415, description = "`unsupported-media-type`", headers(
            ("Accept-Patch" = String, description = "Accepted media types (RFC 5789)"),
        )),
        (status = 507, description = "`storage-full`: nothing was changed"),
    ),
)]
#[patch("/files/{file_sha1}")]
pub(crate) async fn update_file(
    _: AcceptsJson,
    Caller(owner): Caller,
    state: web::Data<AppState>,
    PathSha1(sha1): PathSha1,
    _: NoQuery,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    refuse_other_media_types(&request)?;
    let change = read(&body::read_short(payload).await?)?;
    let unchanged = |entry: &service::Entry| matches(&request, &entry_tag(entry));
    let service = &state.service;
    let entry = service.update(&owner, &sha1, &change, unchanged).await?;
    Ok(describe(&state, HttpResponse::Ok(), &entry))
}

fn refuse_other_media_types(request: &HttpRequest) -> Result<(), Problem> {
    if body::is_one_of(request.headers(), &MEDIA_TYPES) {
        return Ok(());
    }
    let media_types = MEDIA_TYPES.join(", ");
    let detail = format!("the media type of the body must be one of {media_types}");
    Err(Problem::new(ProblemType::UnsupportedMediaType, detail)
        .named(ProblemLocation::Header, header::CONTENT_TYPE.as_str())
        .with_header(
            HeaderName::from_static("accept-patch"),
            // All characters are visible ASCII, so this cannot fail.
            HeaderValue::try_from(media_types).unwrap_or(HeaderValue::from_static("")),
        ))
}

/// Reads a patch member by member, so that a problem can name the member.
pub(crate) fn read(body: &[u8]) -> Result<FileUpdate, Problem> {
    let patch: Value = serde_json::from_slice(body)
        .map_err(|error| Problem::body(format!("the body is not JSON: {error}")))?;
    let Value::Object(members) = patch else {
        return Err(Problem::body("the patch is not a JSON object"));
    };
    let mut change = FileUpdate::default();
    for (name, value) in members {
        let invalid = |detail: &str| Problem::body(detail).named(ProblemLocation::Body, &name);
        match (name.as_str(), value) {
            ("file_name", Value::String(text)) => {
                let parsed = text.try_into().map_err(|error: domain::FileNameError| {
                    Problem::new(ProblemType::InvalidFileName, error.to_string())
                        .named(ProblemLocation::Body, "file_name")
                })?;
                change.file_name = Some(parsed);
            }
            ("file_name", _) => return Err(invalid("`file_name` is a string")),
            ("status", value) => {
                let status = serde_json::from_value(value)
                    .map_err(|_| invalid("`status` is `available` or `deleted`"))?;
                change.status = Some(status);
            }
            _ => return Err(invalid("only `file_name` and `status` can be changed")),
        }
    }
    Ok(change)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_patch_has_the_changed_members() {
        let change = read(br#"{"file_name": "b.txt", "status": "available"}"#).unwrap();
        assert_eq!(change.file_name.unwrap().as_str(), "b.txt");
        assert_eq!(change.status, Some(FileStatus::Available));
        let nothing = read(b"{}").unwrap();
        assert!(nothing.file_name.is_none() && nothing.status.is_none());
    }

    #[test]
    fn a_problem_names_the_invalid_member() {
        for (patch, member) in [
            (r#"{"file_name": null}"#, Some("file_name")),
            (r#"{"file_name": 1}"#, Some("file_name")),
            (r#"{"file_name": "a/b"}"#, Some("file_name")),
            (r#"{"status": "purging"}"#, Some("status")),
            (r#"{"status": 0}"#, Some("status")),
            (r#"{"file_size": 1}"#, Some("file_size")),
            ("[]", None),
            ("{", None),
            ("", None),
        ] {
            let problem = read(patch.as_bytes()).unwrap_err();
            let source = problem.source.unwrap();
            assert_eq!(source.name.as_deref(), member, "{patch}");
        }
    }
}
