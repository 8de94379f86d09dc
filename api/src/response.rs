//! Responses that several endpoints share.

use actix_web::{
    HttpRequest, HttpResponse, HttpResponseBuilder,
    http::header::{self, ETag, EntityTag},
};
use service::{Entry, EntryOutcome, Stored};
use utoipa::ToSchema;

use crate::{
    headers::conditional::{Precondition, Validators, entry_tag},
    middleware::context::AuditFile,
    state::AppState,
};

/// The bytes of a file.
#[derive(ToSchema)]
#[schema(value_type = String, format = Binary)]
#[expect(dead_code, reason = "only the contract uses it")]
pub(crate) struct FileContent(Vec<u8>);

/// The response to a stored file, by any way of upload: its metadata and its location.
pub(crate) fn stored_file(state: &AppState, stored: &Stored) -> HttpResponse {
    let mut response = match stored.outcome {
        EntryOutcome::Created | EntryOutcome::Restored => HttpResponse::Created(),
        EntryOutcome::Existing => HttpResponse::Ok(),
    };
    let location = format!("/files/{}", stored.entry.meta.file_sha1);
    response.insert_header((header::LOCATION, location));
    describe(state, response, &stored.entry)
}

/// Completes a response with the metadata of a file.
pub(crate) fn describe(
    state: &AppState,
    mut response: HttpResponseBuilder,
    entry: &Entry,
) -> HttpResponse {
    identify(&mut response, entry);
    let mut response = response.json(state.present(entry.meta.clone()));
    response
        .extensions_mut()
        .insert(AuditFile(entry.meta.file_sha1));
    response
}

/// Marks the response with what only a release changes, which can be compressed once for all.
pub(crate) struct Unchanging;

/// Begins the response to a request for what only a release changes; a 304 if the client has it. The
/// second value tells whether it is that.
pub(crate) fn revalidated(request: &HttpRequest, etag: EntityTag) -> (HttpResponseBuilder, bool) {
    let validators = Validators {
        etag,
        last_modified: None,
    };
    let is_known = validators.evaluate(request) == Precondition::NotModified;
    let mut response = if is_known {
        HttpResponse::NotModified()
    } else {
        HttpResponse::Ok()
    };
    response
        .insert_header(ETag(validators.etag))
        .insert_header((header::CACHE_CONTROL, "no-cache"));
    response.extensions_mut().insert(Unchanging);
    (response, is_known)
}

/// Adds the version of the entry as `ETag`, and the caching rule that requires revalidation.
pub(crate) fn identify(response: &mut HttpResponseBuilder, entry: &Entry) {
    response
        .insert_header(ETag(entry_tag(entry)))
        .insert_header((header::CACHE_CONTROL, "private, no-cache"));
}
