//! Creating and continuing an upload by the IETF's draft, whose bytes may come in several requests.

use actix_web::{
    HttpRequest, HttpResponse,
    http::header::{self, HeaderValue},
    web::Payload,
};
use domain::{FileName, Owner, RandomId, UploadError};
use service::{
    Append, AppendRequest, Completion, Error, Expected, NewUpload, Outcome, Protocol, Stored,
};

use super::{
    body_kind::{Body, body_kind},
    interim,
    names::{only_one, unnamed},
    stream::{AppendError, break_off, stream_body},
    whole,
};
use crate::{
    extract::body::{self, content_length},
    headers::{
        digest_fields::{self, REPR_DIGEST},
        disposition,
        resumption::{self, UPLOAD_COMPLETE, completeness, with_upload_headers},
    },
    problem::{Problem, ProblemLocation, ProblemType, UPLOAD_OFFSET},
    public_url::PublicUrl,
    response::stored_file,
    state::AppState,
};

/// Receives a file, or the beginning of one if `Upload-Complete` says so.
///
/// Without that field it is an ordinary upload.
pub(crate) async fn receive(
    state: &AppState,
    owner: &Owner,
    request: &HttpRequest,
    payload: Payload,
    named: Option<FileName>,
    announced: Expected,
) -> Result<HttpResponse, Problem> {
    let headers = request.headers();
    let Some(is_complete) = resumption::is_complete(headers) else {
        let stored = whole::receive(state, owner, request, payload, named, announced).await?;
        return Ok(stored_file(state, &stored));
    };
    let declared = digest_fields::read(headers, &REPR_DIGEST, ProblemLocation::Header);
    let work = async {
        let announced = digest_fields::join(announced, declared?)?;
        let length = resumption::length(headers);
        if is_complete && !can_be_resumed(request) {
            let announced = Expected {
                size: length,
                ..announced
            };
            let stored = whole::receive(state, owner, request, payload, named, announced).await;
            return Ok(complete(state, &stored.map_err(AppendFailure::last)?));
        }
        let service = &state.service;
        if !is_complete {
            let known = service.find_existing(owner, &announced, length).await?;
            if let Some(entry) = known {
                return Ok(complete(state, &Stored::known(entry)));
            }
        }
        let mut new = new_upload(request, named, announced).map_err(AppendFailure::last)?;
        if is_complete {
            new.length = new.length.or(content_length(headers));
        }
        create(state, owner, request, payload, new, is_complete).await
    };
    let limits = state.service.limits();
    work.await.map_err(|AppendFailure { problem, is_final }| {
        with_upload_headers(problem, is_complete && is_final, limits)
    })
}

/// Returns whether the client learns the URL of its upload before the response, so that it can go on
/// after a break.
fn can_be_resumed(request: &HttpRequest) -> bool {
    let headers = request.headers();
    resumption::knows_interim(headers)
        && body::is_there(headers)
        && matches!(body_kind(headers), Ok(Body::Raw(_)))
        && interim::is_possible(request)
}

/// Answers a complete upload.
fn complete(state: &AppState, stored: &Stored) -> HttpResponse {
    let mut response = stored_file(state, stored);
    let (name, value) = completeness(true);
    response.headers_mut().insert(name, value);
    let offset = stored.entry.meta.file_size.into();
    response.headers_mut().insert(UPLOAD_OFFSET, offset);
    response
}

fn new_upload(
    request: &HttpRequest,
    named: Option<FileName>,
    expected: Expected,
) -> Result<NewUpload, Problem> {
    let headers = request.headers();
    body::refuse_content_coding(headers)?;
    let Body::Raw(content_type) = body_kind(headers)? else {
        let detail = "a form cannot be resumed; send the file alone";
        return Err(Problem::new(ProblemType::UnsupportedMediaType, detail)
            .named(ProblemLocation::Header, header::CONTENT_TYPE.as_str()));
    };
    let named = only_one(
        named,
        disposition::file_name(headers, ProblemLocation::Header)?,
    )?;
    let file_name = named.ok_or_else(|| {
        unnamed("give the file a name: `?file_name=`, or a Content-Disposition field")
    })?;
    Ok(NewUpload {
        protocol: Protocol::Http,
        is_part: false,
        length: resumption::length(headers),
        file_name: Some(file_name),
        content_type,
        expected,
        metadata: None,
        concat: None,
    })
}

/// Creates an upload with the bytes of the request, which may be all of them.
async fn create(
    state: &AppState,
    owner: &Owner,
    request: &HttpRequest,
    payload: Payload,
    new: NewUpload,
    is_complete: bool,
) -> Result<HttpResponse, AppendFailure> {
    let service = &state.service;
    let headers = request.headers();
    let checksums = resumption::checksums(headers).map_err(AppendFailure::last)?;
    let status = service.begin_upload(owner, new, None).await;
    let status = status.map_err(|error| AppendFailure::last(error.into()))?;
    let id = status.session.id;
    let mut offset = status.offset.unwrap_or_default();
    if body::is_there(headers) {
        let mut is_announced = false;
        let first = AppendRequest {
            bytes: content_length(headers),
            checksums,
            completion: if is_complete {
                Completion::Now
            } else {
                Completion::NotYet
            },
            ..AppendRequest::default()
        };
        let appended = match service.append(owner, Protocol::Http, id, first).await {
            Ok(append) => {
                // Only now: a request for the upload that came earlier would not end this one.
                is_announced = announce(state, request, id);
                take(state, append, payload).await
            }
            Err(error) => Err(AppendFailure::from(error)),
        };
        match appended {
            Ok(Outcome::Open { offset: now, .. }) => offset = now,
            Ok(Outcome::Stored { stored, .. }) => {
                if is_complete {
                    state.metrics.stored(&stored);
                }
                return Ok(complete(state, &stored));
            }
            Err(refusal) if is_announced && !refusal.is_final => return Err(refusal),
            Err(refusal) => {
                // The client never learned the URL, or the upload has ended: nobody can continue it.
                match service.remove_upload(owner, Protocol::Http, id).await {
                    Ok(()) | Err(Error::UploadGone) => {}
                    Err(error) => return Err(error.into()),
                }
                return Err(AppendFailure::last(refusal.problem));
            }
        }
    }
    let limits = service.limits();
    let mut response = HttpResponse::Created();
    response
        .insert_header((header::LOCATION, format!("/uploads/{id}")))
        .insert_header(resumption::limit(limits, limits.upload_age));
    resumption::progress(&mut response, offset, false);
    Ok(response.finish())
}

/// Tells the client the URL of its upload while it still sends (104); returns whether it was told.
fn announce(state: &AppState, request: &HttpRequest, id: RandomId) -> bool {
    if !resumption::knows_interim(request.headers()) || !interim::is_possible(request) {
        return false;
    }
    let path = state.public_url.as_ref().map(PublicUrl::path);
    let path = path.map_or("", |path| &**path);
    let Ok(location) = HeaderValue::try_from(format!("{path}/uploads/{id}")) else {
        return false;
    };
    let limits = state.service.limits();
    let fields = [
        (header::LOCATION, location),
        resumption::interop_version(),
        resumption::limit(limits, limits.upload_age),
    ];
    interim::send(request, 104, "Upload Resumption Supported", &fields);
    true
}

/// Appends a request's body to an upload, and completes the upload if the request says so.
pub(crate) async fn go_on(
    state: &AppState,
    owner: &Owner,
    id: RandomId,
    request: &HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, Problem> {
    let limits = state.service.limits();
    let not_yet = |problem| with_upload_headers(problem, false, limits);
    let headers = request.headers();
    let missing = |name, detail| not_yet(Problem::header(&name, detail));
    body::require_media_type(headers, resumption::MEDIA_TYPE).map_err(not_yet)?;
    body::refuse_content_coding(headers).map_err(not_yet)?;
    let is_complete = resumption::is_complete(headers)
        .ok_or_else(|| missing(UPLOAD_COMPLETE, "the field must be ?0 or ?1"))?;
    let offset = resumption::offset(headers)
        .ok_or_else(|| missing(UPLOAD_OFFSET, "the field must be a number of bytes"))?;
    let append = AppendRequest {
        offset,
        length: resumption::length(headers),
        bytes: content_length(headers),
        checksums: resumption::checksums(headers).map_err(not_yet)?,
        completion: if is_complete {
            Completion::Now
        } else {
            Completion::NotYet
        },
    };
    let is_empty = !body::is_there(headers);
    let service = &state.service;
    let append = match service.append(owner, Protocol::Http, id, append).await {
        Ok(append) => append,
        Err(Error::UploadComplete { sha1, length })
            if is_empty && is_complete && offset == length =>
        {
            // The client asks again for an answer that got lost.
            return Ok(complete(state, &service.find_stored(owner, &sha1).await?));
        }
        Err(error @ Error::UploadComplete { .. }) => {
            return Err(with_upload_headers(error.into(), true, limits));
        }
        Err(Error::Upload(overrun @ UploadError::Surplus(_))) => {
            service.fail_upload(owner, Protocol::Http, id).await?;
            return Err(not_yet(inconsistent(overrun)));
        }
        Err(error) => return Err(not_yet(error.into())),
    };
    match take(state, append, payload).await {
        Ok(Outcome::Stored { stored, .. }) => {
            state.metrics.stored(&stored);
            Ok(complete(state, &stored))
        }
        Ok(Outcome::Open { offset, expires_at }) => {
            let mut response = HttpResponse::NoContent();
            let age = service.time_until(expires_at);
            response.insert_header(resumption::limit(limits, age));
            resumption::progress(&mut response, offset, false);
            Ok(response.finish())
        }
        Err(AppendFailure { problem, is_final }) => Err(with_upload_headers(
            problem,
            is_complete && is_final,
            limits,
        )),
    }
}

/// The reason why bytes, or the upload that they complete, are refused.
struct AppendFailure {
    problem: Problem,
    /// Whether the upload has ended, because its content is refused.
    is_final: bool,
}

impl AppendFailure {
    /// The end of an upload that nobody can continue.
    fn last(problem: Problem) -> Self {
        Self {
            problem,
            is_final: true,
        }
    }
}

impl From<Problem> for AppendFailure {
    fn from(problem: Problem) -> Self {
        Self {
            problem,
            is_final: false,
        }
    }
}

impl From<Error> for AppendFailure {
    fn from(error: Error) -> Self {
        let is_final = error.is_final();
        let problem = match error {
            // The draft has a problem type of its own.
            Error::WrongChecksum(offset) => {
                let detail = "the bytes do not match their Content-Digest";
                Problem::new(ProblemType::DigestMismatch, detail).with_offset(offset)
            }
            Error::Upload(overrun @ UploadError::Surplus(_)) => inconsistent(overrun),
            error => error.into(),
        };
        Self { problem, is_final }
    }
}

async fn take(
    state: &AppState,
    mut append: Append,
    payload: Payload,
) -> Result<Outcome, AppendFailure> {
    match stream_body(state, &mut append, payload).await {
        Ok(()) => Ok(append.end().await?),
        Err(AppendError::Overrun(overrun @ UploadError::Surplus(_))) => {
            append.fail().await?;
            Err(inconsistent(overrun).into())
        }
        Err(AppendError::Overrun(overrun)) => {
            let problem = Error::from(overrun).into();
            Err(break_off(append, problem).await.into())
        }
        Err(AppendError::Broken(problem)) => Err(break_off(append, problem).await.into()),
    }
}

/// More bytes than announced invalidate the upload for good.
fn inconsistent(overrun: UploadError) -> Problem {
    let detail = format!("{overrun}; the upload has ended");
    Problem::new(ProblemType::InconsistentLength, detail)
}
