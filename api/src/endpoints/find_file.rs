//! `GET /files/{file_sha1}`

use actix_web::{HttpRequest, HttpResponse, http::header, route, web};
use domain::FileMeta;

use crate::{
    auth::Caller,
    extract::{accept::AcceptsJson, path::PathSha1, query::NoQuery},
    headers::conditional::{Precondition, Validators},
    openapi::parameters::{FilePath, PreconditionFields, RevalidationFields},
    problem::Problem,
    response::{describe, identify},
    state::AppState,
};

/// Metadata of a file of the caller
///
/// The entity tag is that of the entry, and changes with its name and status.
#[utoipa::path(
    get,
    tag = "files",
    params(
        FilePath, PreconditionFields, RevalidationFields
    ),
    security(("bearer" = ["files:read"])),
    extensions(("x-role" = json!("api"))),
    responses(
        (status = 200, description = "File metadata", body = FileMeta, headers(
            ("ETag" = String, description = "Version of the entry"),
            ("Cache-Control" = String, description = "`private, no-cache`"),
        )),
        (status = 304, description = "The entity tag of the entry is one of those in `If-None-Match`", headers(
            ("ETag" = String, description = "Version of the entry"),
            ("Cache-Control" = String, description = "`private, no-cache`"),
        )),
        (status = 400, description = "`invalid-sha1` or `invalid-query`"),
        (status = 404, description = "`not-found`"),
        (status = 406, description = "`not-acceptable`"),
        (status = 412, description = "`precondition-failed`"),
    ),
)]
#[route("/files/{file_sha1}", method = "GET", method = "HEAD")]
pub(crate) async fn find_file(
    _: AcceptsJson,
    Caller(owner): Caller,
    state: web::Data<AppState>,
    PathSha1(sha1): PathSha1,
    _: NoQuery,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    // `If-Match` has to be compared with the current version, not with a cached one.
    let entry = if request.headers().contains_key(header::IF_MATCH) {
        state.service.find_uncached(&owner, &sha1).await?
    } else {
        state.service.find(&owner, &sha1).await?
    };
    let validators = Validators::of_entry(&entry);
    match validators.evaluate(&request) {
        Precondition::Proceed => Ok(describe(&state, HttpResponse::Ok(), &entry)),
        Precondition::NotModified => {
            let mut response = HttpResponse::NotModified();
            identify(&mut response, &entry);
            Ok(response.finish())
        }
        Precondition::Failed => Err(service::Error::PreconditionFailed.into()),
    }
}
