//! `PATCH /tus/{upload_id}`

use actix_web::{HttpRequest, HttpResponse, patch, web};
use domain::{Owner, RandomId, UploadError};
use service::{Append, AppendRequest, Completion, Error, Outcome, Protocol};

use crate::{
    auth::Caller,
    extract::{body, path::PathUpload, query::NoQuery},
    headers::tus::{self, Length},
    openapi::{
        parameters::{TusChecksum, TusVersion, UploadPath},
        responses::TusOffset,
    },
    problem::Problem,
    state::AppState,
    upload::stream::{AppendError, break_off, has_bytes, stream_body},
};

/// Appends bytes to a tus upload
///
/// The service keeps the received bytes even if the connection breaks; with `Upload-Checksum`, all
/// of them or none. The request with the last byte completes the upload. A newer request for the
/// same upload ends a running one. Bytes beyond the length or the size limit are discarded.
#[utoipa::path(
    tag = "tus",
    params(
        UploadPath,
        TusVersion,
        ("Upload-Offset" = u64, Header, description = "Current offset of the upload"),
        ("Upload-Length" = Option<u64>, Header, description = "Total length in bytes, if it was deferred at creation"),
        TusChecksum,
    ),
    request_body(content = crate::response::FileContent, content_type = "application/offset+octet-stream"),
    security(("bearer" = ["files:write"])),
    extensions(("x-role" = json!("upload"))),
    responses(
        TusOffset,
        (status = 400, description = "`invalid-header`, `invalid-query`, `invalid-body` or `inconsistent-upload-length`"),
        (status = 403, description = "`final-upload`"),
        (status = 404, description = "`upload-not-found`"),
        (status = 410, description = "`upload-gone`: the upload has expired or failed, or its file was deleted"),
        (status = 412, description = "`unsupported-version`"),
        (status = 415, description = "`unsupported-media-type`"),
        (status = 422, description = "`digest-mismatch`: the complete upload does not match the announced digests, and has ended"),
        (status = 507, description = "`storage-full` or `quota-full`"),
    ),
)]
#[patch("/tus/{upload_id}")]
pub(crate) async fn append_tus_upload(
    Caller(owner): Caller,
    state: web::Data<AppState>,
    PathUpload(id): PathUpload,
    _: NoQuery,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    let headers = request.headers();
    body::require_media_type(headers, tus::MEDIA_TYPE)?;
    body::refuse_content_coding(headers)?;
    let append = AppendRequest {
        offset: tus::offset(headers)?,
        length: match tus::length(headers)? {
            Length::Known(length) => Some(length),
            Length::Deferred | Length::Unsaid => None,
        },
        bytes: body::content_length(headers),
        checksums: tus::checksums(headers)?,
        completion: Completion::AtLength,
    };
    match append_to(&state, &owner, id, append, payload).await {
        Ok(response) => Ok(response),
        Err(problem) if problem.is_about_offset() => {
            match state.service.find_expiry(&owner, Protocol::Tus, id).await {
                Ok(expires_at) => {
                    let (name, value) = tus::expires(expires_at);
                    Err(problem.with_header(name, value))
                }
                // The first problem explains more to the client.
                Err(_) => Err(problem),
            }
        }
        Err(problem) => Err(problem),
    }
}

async fn append_to(
    state: &AppState,
    owner: &Owner,
    id: RandomId,
    append: AppendRequest,
    payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    let offset = append.offset;
    let service = &state.service;
    let mut response = HttpResponse::NoContent();
    let append = match service.append(owner, Protocol::Tus, id, append).await {
        Ok(append) => append,
        Err(Error::UploadComplete { sha1, length }) => {
            refuse_after_completion(offset, length, payload).await?;
            let expires_at = service.find_expiry(owner, Protocol::Tus, id).await?;
            tus::progress(&mut response, Some(length), expires_at);
            tus::done(&mut response, &sha1);
            return Ok(response.finish());
        }
        Err(error) => return Err(with_known_offset(error, offset)),
    };
    match append_body(state, append, payload).await? {
        Outcome::Open { offset, expires_at } => {
            tus::progress(&mut response, Some(offset), expires_at);
        }
        Outcome::Stored { stored, expires_at } => {
            state.metrics.stored(&stored);
            let meta = &stored.entry.meta;
            tus::progress(&mut response, Some(meta.file_size), expires_at);
            tus::done(&mut response, &meta.file_sha1);
        }
    }
    Ok(response.finish())
}

/// Appends the body of a request, and completes the upload if these were its last bytes.
pub(super) async fn append_body(
    state: &AppState,
    mut append: Append,
    payload: web::Payload,
) -> Result<Outcome, Problem> {
    match stream_body(state, &mut append, payload).await {
        Ok(()) => Ok(append.end().await?),
        Err(AppendError::Overrun(overrun)) => {
            Err(break_off(append, Error::from(overrun).into()).await)
        }
        Err(AppendError::Broken(problem)) => Err(break_off(append, problem).await),
    }
}

/// Refuses to append to a complete upload. A request without bytes, at the final offset, passes: a
/// client may repeat a request to get a lost response again.
async fn refuse_after_completion(
    provided: u64,
    length: u64,
    payload: web::Payload,
) -> Result<(), Problem> {
    if provided != length {
        let expected = length;
        return Err(Error::from(UploadError::Offset { expected, provided }).into());
    }
    if has_bytes(payload).await? {
        return Err(with_known_offset(
            UploadError::Surplus(length).into(),
            length,
        ));
    }
    Ok(())
}

/// Adds the offset to a problem if the request had the right offset but too many bytes.
fn with_known_offset(error: Error, offset: u64) -> Problem {
    let is_overrun = matches!(
        error,
        Error::Upload(UploadError::Surplus(_) | UploadError::TooLarge(_))
    );
    let problem = Problem::from(error);
    if is_overrun {
        problem.with_offset(offset)
    } else {
        problem
    }
}
