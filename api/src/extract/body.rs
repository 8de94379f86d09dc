//! The request's body: its announced size and type, and reading a short one.

use actix_web::{
    error::PayloadError,
    http::header::{self, HeaderMap, HeaderValue},
    web::{Bytes, BytesMut, Payload},
};
use futures_util::StreamExt as _;
use serde::de::DeserializeOwned;

use crate::{
    limits::{body_timeout::is_too_slow, placed_body},
    problem::{Problem, ProblemLocation, ProblemType},
};

/// The announced size of the body, in bytes.
pub(crate) fn content_length(headers: &HeaderMap) -> Option<u64> {
    let length = headers.get(header::CONTENT_LENGTH)?;
    length.to_str().ok()?.parse().ok()
}

/// Returns whether there is a body, even an empty chunked one.
pub(crate) fn is_there(headers: &HeaderMap) -> bool {
    headers.contains_key(header::TRANSFER_ENCODING)
        || content_length(headers).is_some_and(|length| length > 0)
}

/// Returns whether the body has one of these media types, whatever their parameters.
pub(crate) fn is_one_of(headers: &HeaderMap, media_types: &[&str]) -> bool {
    let value = headers.get(header::CONTENT_TYPE);
    let parsed = value.and_then(|value| value.to_str().ok()?.parse::<mime::Mime>().ok());
    parsed.is_some_and(|given| media_types.contains(&given.essence_str()))
}

/// Refuses a body of another media type.
pub(crate) fn require_media_type(headers: &HeaderMap, media_type: &str) -> Result<(), Problem> {
    if is_one_of(headers, &[media_type]) {
        return Ok(());
    }
    Err(Problem::new(
        ProblemType::UnsupportedMediaType,
        format!("the body must be {media_type}"),
    )
    .named(ProblemLocation::Header, header::CONTENT_TYPE.as_str()))
}

/// Refuses a content coding: the service stores the bytes as they arrive.
pub(crate) fn refuse_content_coding(headers: &HeaderMap) -> Result<(), Problem> {
    let mut codings = headers
        .get_all(header::CONTENT_ENCODING)
        .flat_map(|line| line.as_bytes().split(|byte| *byte == b','));
    if codings.all(|coding| coding.trim_ascii().eq_ignore_ascii_case(b"identity")) {
        return Ok(());
    }
    let detail = "the file must be sent without a content coding";
    Err(Problem::new(ProblemType::UnsupportedMediaType, detail)
        .named(ProblemLocation::Header, header::CONTENT_ENCODING.as_str())
        .with_header(
            header::ACCEPT_ENCODING,
            HeaderValue::from_static("identity"),
        ))
}

/// Reads a body of at most 16 KiB.
pub(crate) async fn read_short(mut payload: Payload) -> Result<Bytes, Problem> {
    const MOST_BYTES: usize = 16 * 1024;
    let mut body = BytesMut::new();
    while let Some(bytes) = payload.next().await {
        let bytes = bytes.map_err(|error| broken_off(&error))?;
        if body.len() + bytes.len() > MOST_BYTES {
            return Err(service::Error::TooLarge(MOST_BYTES as u64).into());
        }
        body.extend_from_slice(&bytes);
    }
    Ok(body.freeze())
}

/// Reads a short JSON body.
pub(crate) async fn read_json<T: DeserializeOwned>(
    headers: &HeaderMap,
    payload: Payload,
) -> Result<T, Problem> {
    require_media_type(headers, "application/json")?;
    serde_json::from_slice(&read_short(payload).await?)
        .map_err(|error| Problem::body(format!("the body is malformed: {error}")))
}

fn too_slow() -> Problem {
    let detail = "the body arrived too slowly and was cut off";
    Problem::new(ProblemType::TooSlow, detail)
}

/// Describes a body that did not arrive whole.
pub(crate) fn broken_off(error: &PayloadError) -> Problem {
    match error {
        error if is_too_slow(error) => too_slow(),
        error if let Some(reason) = placed_body::refusal(error) => reason.into(),
        PayloadError::Incomplete(_) => {
            Problem::body("the body is shorter than announced, or its chunks are malformed")
        }
        _ => Problem::body("the body could not be read"),
    }
}
