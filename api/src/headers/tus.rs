//! The fields of tus 1.0.0 (<https://tus.io/protocols/resumable-upload>).

use actix_web::{
    HttpResponse, HttpResponseBuilder,
    http::header::{self, HeaderMap, HeaderName, HeaderValue},
};
use domain::{ByteCountError, Checksum, Timestamp, parse_byte_count, tus};
use service::{Session, SessionState};

use crate::{
    middleware::context::AuditFile,
    problem::{Problem, ProblemLocation, ProblemType, UPLOAD_OFFSET},
};

/// The path of tus uploads.
pub(crate) const PREFIX: &str = "/tus";

/// The media type of appended bytes.
pub(crate) const MEDIA_TYPE: &str = "application/offset+octet-stream";

/// The supported extensions. Trailers are not supported, since actix-web does not expose them.
const EXTENSIONS: &str = "creation,creation-with-upload,creation-defer-length,expiration,checksum,termination,concatenation";

pub(crate) const VERSION: HeaderValue = HeaderValue::from_static("1.0.0");
pub(crate) const TUS_RESUMABLE: HeaderName = HeaderName::from_static("tus-resumable");
pub(crate) const TUS_VERSION: HeaderName = HeaderName::from_static("tus-version");
const TUS_EXTENSION: HeaderName = HeaderName::from_static("tus-extension");
const TUS_MAX_SIZE: HeaderName = HeaderName::from_static("tus-max-size");
const TUS_CHECKSUM_ALGORITHM: HeaderName = HeaderName::from_static("tus-checksum-algorithm");
pub(crate) const METHOD_OVERRIDE: HeaderName = HeaderName::from_static("x-http-method-override");
const UPLOAD_LENGTH: HeaderName = HeaderName::from_static("upload-length");
const UPLOAD_DEFER_LENGTH: HeaderName = HeaderName::from_static("upload-defer-length");
const UPLOAD_METADATA: HeaderName = HeaderName::from_static("upload-metadata");
const UPLOAD_CONCAT: HeaderName = HeaderName::from_static("upload-concat");
const UPLOAD_CHECKSUM: HeaderName = HeaderName::from_static("upload-checksum");
const UPLOAD_EXPIRES: HeaderName = HeaderName::from_static("upload-expires");

/// Answers with the supported parts of the protocol.
pub(crate) fn offer(max_size: Option<u64>) -> HttpResponse {
    let algorithms = domain::ChecksumAlgorithm::ALL.map(domain::ChecksumAlgorithm::name);
    let mut response = HttpResponse::NoContent();
    response
        .insert_header((TUS_VERSION, VERSION))
        .insert_header((TUS_EXTENSION, EXTENSIONS))
        .insert_header((TUS_CHECKSUM_ALGORITHM, algorithms.join(",")));
    if let Some(max_size) = max_size {
        response.insert_header((TUS_MAX_SIZE, max_size));
    }
    response.finish()
}

/// The length of an upload, as a request announces it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Length {
    /// Not announced.
    Unsaid,
    /// To be announced later.
    Deferred,
    /// A number of bytes.
    Known(u64),
}

/// Parses the length that a request announces.
pub(crate) fn length(headers: &HeaderMap) -> Result<Length, Problem> {
    let length = match text(headers, &UPLOAD_LENGTH)?.map(parse_byte_count) {
        Some(Err(ByteCountError::TooMany)) => {
            return Err(service::Error::TooLarge(i64::MAX.unsigned_abs()).into());
        }
        Some(Err(error)) => return Err(wrong_length(&error.to_string())),
        length => length.and_then(Result::ok),
    };
    match (length, text(headers, &UPLOAD_DEFER_LENGTH)?) {
        (None, None) => Ok(Length::Unsaid),
        (Some(length), None) => Ok(Length::Known(length)),
        (None, Some("1")) => Ok(Length::Deferred),
        (None, Some(_)) => Err(Problem::header(&UPLOAD_DEFER_LENGTH, "the value must be 1")),
        (Some(_), Some(_)) => {
            let detail = "announce the length now or defer it, not both";
            Err(Problem::header(&UPLOAD_DEFER_LENGTH, detail))
        }
    }
}

/// Refuses a length where none is allowed, or its absence where one is required.
pub(crate) fn wrong_length(detail: &str) -> Problem {
    Problem::header(&UPLOAD_LENGTH, detail)
}

/// Parses the offset of a request.
pub(crate) fn offset(headers: &HeaderMap) -> Result<u64, Problem> {
    let offset = byte_count(headers, &UPLOAD_OFFSET)?;
    offset.ok_or_else(|| Problem::header(&UPLOAD_OFFSET, "the field is missing"))
}

/// Parses `Upload-Metadata`.
pub(crate) fn metadata(headers: &HeaderMap) -> Result<Option<tus::Metadata>, Problem> {
    let wrong = |detail: String| {
        Problem::new(ProblemType::InvalidMetadata, detail)
            .named(ProblemLocation::Header, UPLOAD_METADATA.as_str())
    };
    match text(headers, &UPLOAD_METADATA).map_err(|problem| wrong(problem.detail))? {
        None | Some("") => Ok(None),
        Some(text) => tus::Metadata::parse(text)
            .map(Some)
            .map_err(|error| wrong(error.to_string())),
    }
}

/// Parses `Upload-Concat`, and returns its text, too.
pub(crate) fn concatenation(
    headers: &HeaderMap,
) -> Result<Option<(tus::Concatenation, String)>, Problem> {
    let wrong = |detail: String| {
        Problem::new(ProblemType::InvalidConcatenation, detail)
            .named(ProblemLocation::Header, UPLOAD_CONCAT.as_str())
    };
    match text(headers, &UPLOAD_CONCAT).map_err(|problem| wrong(problem.detail))? {
        None => Ok(None),
        Some(text) => tus::Concatenation::parse(text)
            .map(|concatenation| Some((concatenation, text.to_owned())))
            .map_err(|error| wrong(error.to_string())),
    }
}

/// Parses the expected checksum of the body.
pub(crate) fn checksums(headers: &HeaderMap) -> Result<Vec<Checksum>, Problem> {
    let Some(text) = text(headers, &UPLOAD_CHECKSUM)? else {
        return Ok(Vec::new());
    };
    tus::parse_checksum(text)
        .map(|checksum| vec![checksum])
        .map_err(|error| Problem::header(&UPLOAD_CHECKSUM, error.to_string()))
}

fn byte_count(headers: &HeaderMap, name: &HeaderName) -> Result<Option<u64>, Problem> {
    let count = text(headers, name)?.map(parse_byte_count).transpose();
    count.map_err(|error| Problem::header(name, error.to_string()))
}

/// The only value of a field.
fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, Problem> {
    let mut values = headers.get_all(name);
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err(Problem::header(name, "the field is repeated"));
    }
    match value.to_str() {
        Ok(text) => Ok(Some(text)),
        Err(_) => Err(Problem::header(name, "the field must be ASCII")),
    }
}

/// Adds the offset of an upload, and its expiry.
pub(crate) fn progress(
    response: &mut HttpResponseBuilder,
    offset: Option<u64>,
    expires_at: Timestamp,
) {
    if let Some(offset) = offset {
        response.insert_header((UPLOAD_OFFSET, offset));
    }
    response.insert_header(expires(expires_at));
}

/// The field with the expiry of an upload.
pub(crate) fn expires(at: Timestamp) -> (HeaderName, HeaderValue) {
    let date = header::HttpDate::from(std::time::SystemTime::from(at)).to_string();
    // The value is visible ASCII only.
    let value = HeaderValue::try_from(date).unwrap_or(HeaderValue::from_static(""));
    (UPLOAD_EXPIRES, value)
}

/// Adds the URL of the file that an upload became.
pub(crate) fn done(response: &mut HttpResponseBuilder, sha1: &domain::Sha1) {
    response.insert_header((header::CONTENT_LOCATION, format!("/files/{sha1}")));
    response.extensions_mut().insert(AuditFile(*sha1));
}

/// Adds the length and the metadata of an upload.
pub(crate) fn describe(response: &mut HttpResponseBuilder, session: &Session) {
    match session.length {
        Some(length) => response.insert_header((UPLOAD_LENGTH, length)),
        None => response.insert_header((UPLOAD_DEFER_LENGTH, "1")),
    };
    if let Some(metadata) = &session.metadata {
        response.insert_header((UPLOAD_METADATA, metadata.as_str()));
    }
    if let Some(concat) = &session.concat {
        response.insert_header((UPLOAD_CONCAT, concat.as_str()));
    }
    if let SessionState::Done(sha1) = session.state {
        done(response, &sha1);
    }
}
