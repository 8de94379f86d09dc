//! The kind of body that an upload has, by its `Content-Type`.

use actix_web::http::header::{self, HeaderMap};
use domain::MediaType;
use mime::Mime;

use crate::problem::{Problem, ProblemLocation, ProblemType};

/// The kind of body that an upload has.
pub(super) enum Body {
    /// A form with the file as one part.
    Form,
    /// The file itself.
    Raw(MediaType),
}

/// Determines the kind of body by its `Content-Type`.
///
/// # Errors
///
/// 415 for other multipart types, and for forms without files.
pub(super) fn body_kind(headers: &HeaderMap) -> Result<Body, Problem> {
    let Some(value) = headers.get(header::CONTENT_TYPE) else {
        return Ok(Body::Raw(MediaType::default()));
    };
    let unsupported = |detail: String| {
        Problem::new(ProblemType::UnsupportedMediaType, detail)
            .named(ProblemLocation::Header, header::CONTENT_TYPE.as_str())
    };
    let text = value
        .to_str()
        .map_err(|_| unsupported("the media type must be ASCII".to_owned()))?;
    let content_type: MediaType = text
        .parse()
        .map_err(|error: domain::MediaTypeError| unsupported(error.to_string()))?;
    let parsed: Mime = text.parse().unwrap_or(mime::APPLICATION_OCTET_STREAM);
    match (parsed.type_(), parsed.subtype()) {
        (mime::MULTIPART, mime::FORM_DATA) => Ok(Body::Form),
        (mime::MULTIPART, _) => Err(unsupported(format!(
            "{text} is not supported; send multipart/form-data, or the file alone"
        ))),
        (mime::APPLICATION, mime::WWW_FORM_URLENCODED) => Err(unsupported(format!(
            "{text} is a form without files; send multipart/form-data, or the file alone with \
             its own media type or application/octet-stream"
        ))),
        _ => Ok(Body::Raw(content_type)),
    }
}
