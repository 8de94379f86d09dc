//! The fields of Resumable Uploads for HTTP (draft-ietf-httpbis-resumable-upload), which are
//! structured fields (RFC 9651); a malformed one counts as absent.

use std::time::Duration;

use actix_web::{
    HttpResponse, HttpResponseBuilder,
    http::header::{HeaderMap, HeaderName, HeaderValue},
};
use domain::{Checksum, ChecksumAlgorithm};
use service::Limits;
use sfv::{BareItem, Item, Parser};

use crate::{
    headers::digest_fields::{self, CONTENT_DIGEST},
    problem::{Problem, ProblemLocation, ProblemType, UPLOAD_OFFSET},
};

/// The media type of appended bytes.
pub(crate) const MEDIA_TYPE: &str = "application/partial-upload";

pub(crate) const UPLOAD_COMPLETE: HeaderName = HeaderName::from_static("upload-complete");
pub(crate) const UPLOAD_LENGTH: HeaderName = HeaderName::from_static("upload-length");
const UPLOAD_DRAFT_INTEROP_VERSION: HeaderName =
    HeaderName::from_static("upload-draft-interop-version");
const UPLOAD_LIMIT: HeaderName = HeaderName::from_static("upload-limit");

/// The version of the draft for which interim responses are sent.
const INTEROP_VERSION: u16 = 8;

/// Returns whether the client knows the interim responses of this version of the draft.
pub(crate) fn knows_interim(headers: &HeaderMap) -> bool {
    number(headers, &UPLOAD_DRAFT_INTEROP_VERSION) == Some(INTEROP_VERSION.into())
}

/// The field with the version of the draft.
pub(crate) fn interop_version() -> (HeaderName, HeaderValue) {
    (UPLOAD_DRAFT_INTEROP_VERSION, INTEROP_VERSION.into())
}

/// Returns whether the request has the upload's last bytes, from `Upload-Complete`.
pub(crate) fn is_complete(headers: &HeaderMap) -> Option<bool> {
    match item(headers, &UPLOAD_COMPLETE)? {
        BareItem::Boolean(complete) => Some(complete),
        _ => None,
    }
}

/// The length of the upload, in bytes, from `Upload-Length`.
pub(crate) fn length(headers: &HeaderMap) -> Option<u64> {
    number(headers, &UPLOAD_LENGTH)
}

/// The offset of the request, in bytes, from `Upload-Offset`.
pub(crate) fn offset(headers: &HeaderMap) -> Option<u64> {
    number(headers, &UPLOAD_OFFSET)
}

/// The expected checksums of the body.
pub(crate) fn checksums(headers: &HeaderMap) -> Result<Vec<Checksum>, Problem> {
    let announced = digest_fields::read(headers, &CONTENT_DIGEST, ProblemLocation::Header)?;
    let sha1 = announced
        .sha1
        .map(|sha1| Checksum::new(ChecksumAlgorithm::Sha1, sha1.as_bytes().to_vec()));
    let sha256 = announced
        .sha256
        .map(|sha256| Checksum::new(ChecksumAlgorithm::Sha256, sha256.as_bytes().to_vec()));
    Ok(sha1.into_iter().chain(sha256).collect())
}

/// Refuses fields that have a meaning only beside bytes.
pub(crate) fn refuse_sending(headers: &HeaderMap) -> Result<(), Problem> {
    let given = [
        (UPLOAD_OFFSET, offset(headers).is_some()),
        (UPLOAD_COMPLETE, is_complete(headers).is_some()),
    ];
    for (name, is_there) in given {
        if is_there {
            return Err(Problem::header(&name, "the request has no bytes"));
        }
    }
    Ok(())
}

fn number(headers: &HeaderMap, name: &HeaderName) -> Option<u64> {
    match item(headers, name)? {
        BareItem::Integer(count) => i64::from(count).try_into().ok(),
        _ => None,
    }
}

fn item(headers: &HeaderMap, name: &HeaderName) -> Option<BareItem> {
    let mut values = headers.get_all(name);
    let value = values.next()?;
    // Several lines form a list, which is not an item.
    if values.next().is_some() {
        return None;
    }
    let item: Item = Parser::new(value.as_bytes()).parse().ok()?;
    Some(item.bare_item)
}

/// The field that tells whether an upload is complete.
pub(crate) fn completeness(is_complete: bool) -> (HeaderName, HeaderValue) {
    let value = if is_complete { "?1" } else { "?0" };
    (UPLOAD_COMPLETE, HeaderValue::from_static(value))
}

/// The field with the limits of uploads, and the time for which one is kept.
pub(crate) fn limit(limits: &Limits, age: Duration) -> (HeaderName, HeaderValue) {
    let size = match limits.max_upload_size {
        Some(most) => format!("max-size={most}"),
        None => "min-size=0".to_owned(),
    };
    let text = format!("{size}, max-age={}", age.as_secs());
    // The value is visible ASCII only.
    let value = HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("min-size=0"));
    (UPLOAD_LIMIT, value)
}

/// Answers with the limits of uploads.
pub(crate) fn offer(limits: &Limits) -> HttpResponse {
    HttpResponse::NoContent()
        .insert_header(limit(limits, limits.upload_age))
        .finish()
}

/// Adds the progress of an upload.
pub(crate) fn progress(response: &mut HttpResponseBuilder, offset: u64, is_complete: bool) {
    response
        .insert_header((UPLOAD_OFFSET, offset))
        .insert_header(completeness(is_complete));
}

/// Adds to a problem whether the upload is complete, and the limits if it is too large.
pub(crate) fn with_upload_headers(
    mut problem: Problem,
    is_complete: bool,
    limits: &Limits,
) -> Problem {
    // An upload whose length contradicts itself is never complete.
    let is_complete = is_complete && problem.kind != ProblemType::InconsistentLength;
    let (name, value) = completeness(is_complete);
    problem = problem.with_header(name, value);
    if problem.kind == ProblemType::TooLarge {
        let (name, value) = limit(limits, limits.upload_age);
        problem = problem.with_header(name, value);
    }
    problem
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: &HeaderName, values: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(name.clone(), HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    #[test]
    fn a_field_that_cannot_be_read_counts_as_absent() {
        let complete = |values: &[&str]| is_complete(&headers(&UPLOAD_COMPLETE, values));
        assert_eq!(complete(&["?1"]), Some(true));
        assert_eq!(complete(&["?0;a=1"]), Some(false));
        for wrong in ["1", "true", "?2", "", "?1, ?1"] {
            assert_eq!(complete(&[wrong]), None, "{wrong}");
        }
        assert_eq!(complete(&["?1", "?1"]), None);
        let offset = |value: &str| offset(&headers(&UPLOAD_OFFSET, &[value]));
        assert_eq!(offset("5497558138880"), Some(5 << 40));
        for wrong in ["-1", "1.0", "\"1\"", "9223372036854775808", "a"] {
            assert_eq!(offset(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn the_limits_are_a_dictionary() {
        let mut limits = Limits {
            max_upload_size: None,
            upload_age: Duration::from_mins(1),
            ..Limits::default()
        };
        let said = |limits: &Limits| limit(limits, limits.upload_age).1;
        assert_eq!(said(&limits), "min-size=0, max-age=60");
        limits.max_upload_size = Some(5);
        assert_eq!(said(&limits), "max-size=5, max-age=60");
    }
}
