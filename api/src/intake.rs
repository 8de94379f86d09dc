//! Reading an upload's request: what the file is called, what it is said to be, and its bytes.

pub(crate) mod append;
mod form;
mod raw;
pub(crate) mod resumable;

use actix_web::{
    HttpRequest,
    error::PayloadError,
    http::header::{self, HeaderMap},
    web::Payload,
};
use domain::{FileName, MediaType, Owner};
use mime::Mime;
use service::{Expected, Stored, Upload};

use crate::{
    admission::is_too_slow,
    http::{
        body,
        digest_fields::{self, REPR_DIGEST},
    },
    problem::{Place, Problem, ProblemType},
    state::AppState,
};

/// What is known of a file before its bytes arrive.
struct Reading<'a> {
    state: &'a AppState,
    headers: &'a HeaderMap,
    named: Option<FileName>,
    announced: Expected,
    upload: Upload,
}

/// A file whose bytes have arrived.
struct Arrived {
    upload: Upload,
    file_name: FileName,
    content_type: MediaType,
    expected: Expected,
}

/// Takes in the file that a request brings, as a form or as its whole body.
///
/// `named` is the name that the query gives to it, `announced` what the URL says that it is.
pub(crate) async fn receive(
    state: &AppState,
    owner: &Owner,
    request: &HttpRequest,
    payload: Payload,
    named: Option<FileName>,
    announced: Expected,
) -> Result<Stored, Problem> {
    let headers = request.headers();
    body::refuse_content_coding(headers)?;
    let declared = digest_fields::read(headers, &REPR_DIGEST, Place::Header)?;
    let announced = digest_fields::join(announced, declared)?;
    let (kind, service) = (body_kind(headers)?, &state.service);
    let bytes = match &kind {
        // There is more in a form than the file.
        Body::Form => None,
        Body::Raw(_) => {
            let bytes = body::content_length(headers);
            raw::refuse_too_large(bytes, service.limits().max_upload_size)?;
            bytes
        }
    };
    let upload = service.upload(owner, &announced, bytes).await?;
    let reading = Reading {
        state,
        headers,
        named,
        announced,
        upload,
    };
    let arrived = match kind {
        Body::Form => form::read(reading, payload).await?,
        Body::Raw(content_type) => raw::read(reading, payload, content_type).await?,
    };
    let Arrived {
        upload,
        file_name,
        content_type,
        expected,
    } = arrived;
    let stored = upload.finish(file_name, content_type, expected).await?;
    state.metrics.stored(&stored);
    Ok(stored)
}

/// Reads a file name from the query.
pub(crate) fn query_file_name(name: Option<String>) -> Result<Option<FileName>, Problem> {
    name.map(|name| file_name(name, Place::Query)).transpose()
}

fn file_name(name: String, place: Place) -> Result<FileName, Problem> {
    name.try_into().map_err(|error: domain::FileNameError| {
        Problem::new(ProblemType::InvalidFileName, error.to_string()).named(place, "file_name")
    })
}

fn only_one(
    first: Option<FileName>,
    second: Option<FileName>,
) -> Result<Option<FileName>, Problem> {
    if first.is_some() && second.is_some() {
        let detail = "the request gives the file two names";
        return Err(Problem::new(ProblemType::InvalidFileName, detail));
    }
    Ok(first.or(second))
}

fn unnamed(detail: &str) -> Problem {
    Problem::new(ProblemType::InvalidFileName, detail)
}

fn too_slow() -> Problem {
    let detail = "the body did not come fast enough, and was broken off";
    Problem::new(ProblemType::TooSlow, detail)
}

enum Body {
    Form,
    Raw(MediaType),
}

/// What a request's body is, by its `Content-Type`.
fn body_kind(headers: &HeaderMap) -> Result<Body, Problem> {
    let Some(value) = headers.get(header::CONTENT_TYPE) else {
        return Ok(Body::Raw(MediaType::default()));
    };
    let unsupported = |detail: String| {
        Problem::new(ProblemType::UnsupportedMediaType, detail)
            .named(Place::Header, header::CONTENT_TYPE.as_str())
    };
    let text = value
        .to_str()
        .map_err(|_| unsupported("the media type is not ASCII".to_owned()))?;
    let content_type: MediaType = text
        .parse()
        .map_err(|error: domain::MediaTypeError| unsupported(error.to_string()))?;
    let parsed: Mime = text.parse().unwrap_or(mime::APPLICATION_OCTET_STREAM);
    match (parsed.type_(), parsed.subtype()) {
        (mime::MULTIPART, mime::FORM_DATA) => Ok(Body::Form),
        (mime::MULTIPART, _) => Err(unsupported(format!(
            "{text} is not taken; send multipart/form-data, or the file alone"
        ))),
        (mime::APPLICATION, mime::WWW_FORM_URLENCODED) => Err(unsupported(format!(
            "{text} is a form without files; send multipart/form-data, or the file alone with \
             its own media type or application/octet-stream"
        ))),
        _ => Ok(Body::Raw(content_type)),
    }
}

pub(crate) fn broken_off(error: &PayloadError) -> Problem {
    match error {
        error if is_too_slow(error) => too_slow(),
        PayloadError::Incomplete(_) => {
            Problem::body("the body ended before as many bytes came as were announced")
        }
        _ => Problem::body("the body could not be read to its end"),
    }
}
