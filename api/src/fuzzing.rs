//! Properties that parsers have for every input: `fuzz/` searches for inputs that break them, and a
//! test tries those that it kept.

#![expect(clippy::unwrap_used, reason = "a property that does not hold panics")]

use actix_web::{
    http::header::{self, HeaderMap, HeaderName, HeaderValue},
    test::TestRequest,
};
use domain::{FileName, Sha1, Timestamp};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

pub use crate::{auth::jwts, upload::forms};
use crate::{
    endpoints::update_file,
    extract::query::Query,
    headers::{
        conditional::{Precondition, Validators},
        digest_fields::{self, REPR_DIGEST, WantedDigests},
        disposition, forwarded,
        origin::{self, Origin},
        ranges::{RequestedRange, content_range, parse_range},
        resumption, tus,
    },
    middleware::host,
    problem::{ProblemLocation, UPLOAD_OFFSET},
    public_url::PublicUrl,
};

/// The header that has each line of an input as a line of a field.
fn lines(name: &HeaderName, input: &[u8]) -> HeaderMap {
    let lines = input.split(|byte| *byte == b'\n');
    let values = lines.filter_map(|line| HeaderValue::from_bytes(line).ok());
    values.map(|value| (name.clone(), value)).collect()
}

/// Structured fields, and the numbers of tus, are read as they are written, within their limits.
pub fn structured_fields(input: &[u8]) {
    let headers = lines(&REPR_DIGEST, input);
    let _ = WantedDigests::read(&lines(&digest_fields::WANT_REPR_DIGEST, input));
    if let Ok(expected) = digest_fields::read(&headers, &REPR_DIGEST, ProblemLocation::Header)
        && let (Some(sha1), Some(sha256)) = (expected.sha1, expected.sha256)
    {
        let all = WantedDigests::read(&HeaderMap::new());
        let written = digest_fields::value(all, &sha1, &sha256);
        let headers = lines(&REPR_DIGEST, written.as_bytes());
        let again = digest_fields::read(&headers, &REPR_DIGEST, ProblemLocation::Header);
        assert_eq!(again.unwrap(), expected);
        assert_eq!(digest_fields::join(expected, expected).unwrap(), expected);
    }
    let offset = lines(&UPLOAD_OFFSET, input);
    if let Some(count) = resumption::offset(&offset) {
        let written = count.to_string();
        let again = lines(&UPLOAD_OFFSET, written.as_bytes());
        assert_eq!(resumption::offset(&again), Some(count));
        assert_eq!(tus::offset(&again).unwrap(), count);
    }
    if let Ok(count) = tus::offset(&offset) {
        assert!(i64::try_from(count).is_ok());
    }
    if let Some(is_complete) = resumption::is_complete(&lines(&resumption::UPLOAD_COMPLETE, input))
    {
        let (name, value) = resumption::completeness(is_complete);
        let again = lines(&name, value.as_bytes());
        assert_eq!(resumption::is_complete(&again), Some(is_complete));
    }
    let length = lines(&resumption::UPLOAD_LENGTH, input);
    assert!(resumption::length(&length).is_none_or(|length| i64::try_from(length).is_ok()));
    let _ = tus::length(&length);
}

/// The parts of a range are in the content, each byte once, and are read as they are written.
///
/// An input is a size, and a `Range` after a colon.
pub fn ranges(input: &[u8]) {
    let Ok(text) = str::from_utf8(input) else {
        return;
    };
    let Some((size, range)) = text.split_once(':') else {
        return;
    };
    let Ok(size) = size.parse::<u64>() else {
        return;
    };
    let Ok(range) = HeaderValue::from_str(range) else {
        return;
    };
    let parse = |range: HeaderValue| {
        let request = TestRequest::default().insert_header((header::RANGE, range));
        parse_range(&request.to_http_request(), size)
    };
    let RequestedRange::Parts(parts) = parse(range) else {
        return;
    };
    assert!((1..=50).contains(&parts.len()));
    let mut sorted = parts.clone();
    sorted.sort_by_key(|part| part.start);
    assert!(sorted.windows(2).all(|pair| pair[0].end < pair[1].start));
    assert!(
        parts
            .iter()
            .all(|part| part.start < part.end && part.end <= size)
    );
    let written = parts.iter().map(|part| {
        let described = content_range(*part, size);
        let described = described.strip_prefix("bytes ").unwrap();
        described
            .strip_suffix(&format!("/{size}"))
            .unwrap()
            .to_owned()
    });
    let written = format!("bytes={}", written.collect::<Vec<_>>().join(","));
    let again = parse(HeaderValue::from_str(&written).unwrap());
    assert_eq!(again, RequestedRange::Parts(parts), "{written}");
}

/// A name in a `Content-Disposition` is one that a file may have, and is read as it is written.
pub fn dispositions(input: &[u8]) {
    if let Ok(value) = HeaderValue::from_bytes(input) {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_DISPOSITION, value);
        if let Ok(Some(name)) = disposition::file_name(&headers, ProblemLocation::Header) {
            name_is_read_as_written(&name);
        }
    }
    if let Some(name) = str::from_utf8(input)
        .ok()
        .and_then(|text| text.parse().ok())
    {
        name_is_read_as_written(&name);
    }
}

fn name_is_read_as_written(name: &FileName) {
    let written = disposition::value("attachment", name);
    assert!(written.to_str().is_ok(), "{written:?}");
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_DISPOSITION, written);
    let again = disposition::file_name(&headers, ProblemLocation::Header).unwrap();
    assert_eq!(again.as_ref(), Some(name));
}

/// The other parts of a request: its query, its host, its origin, its addresses, its conditions.
pub fn requests(input: &[u8]) {
    let _ = update_file::read(input);
    conditions(input);
    forwarded_addresses(input);
    let Ok(text) = str::from_utf8(input) else {
        return;
    };
    if let Ok(query) = Query::parse(text) {
        let encode = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        let pairs = query.pairs().iter();
        let written = pairs.map(|(name, value)| format!("{}={}", encode(name), encode(value)));
        let again = Query::parse(&written.collect::<Vec<_>>().join("&")).unwrap();
        assert_eq!(again.pairs(), query.pairs());
    }
    if let Ok(value) = HeaderValue::from_str(text) {
        let request = TestRequest::default().insert_header((header::HOST, value));
        if host::verify(&request.to_srv_request()).is_ok() {
            assert!(!text.contains(['@', '/', ' ', '?', '#']), "{text}");
        }
    }
    let _ = origin::is_loopback(origin::host(text));
    if let Ok(origin) = text.parse::<Origin>() {
        assert!(origin.as_str() == text && !origin.authority().contains('/'));
    }
    if let Ok(url) = text.parse::<PublicUrl>() {
        assert_eq!(url.to_string().parse().as_ref(), Ok(&url), "{url}");
        // A path that begins with two slashes would be a host.
        assert!(url.path().is_empty() || url.path().starts_with('/'));
        assert!(!url.path().starts_with("//"), "{url}");
    }
}

/// A condition that no field makes is not decided against.
///
/// Each line of the input is a field.
fn conditions(input: &[u8]) {
    let mut request = TestRequest::default();
    let mut names = Vec::new();
    for line in input.split(|byte| *byte == b'\n') {
        let Some(at) = line.iter().position(|byte| *byte == b':') else {
            continue;
        };
        let (name, value) = (HeaderName::from_bytes(&line[..at]), &line[at + 1..]);
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_bytes(value.trim_ascii())) {
            names.push(name.clone());
            request = request.append_header((name, value));
        }
    }
    let request = request.to_http_request();
    let validators = Validators::of_content(&Sha1::from([7; 20]), Timestamp::EPOCH);
    let has = |wanted: [HeaderName; 2]| names.iter().any(|name| wanted.contains(name));
    let is_possible = match validators.evaluate(&request) {
        Precondition::Proceed => true,
        Precondition::NotModified => has([header::IF_NONE_MATCH, header::IF_MODIFIED_SINCE]),
        Precondition::Failed => has([header::IF_MATCH, header::IF_UNMODIFIED_SINCE]),
    };
    assert!(is_possible, "{names:?}");
    assert!(validators.allow_range(&request) || names.contains(&header::IF_RANGE));
}

/// An address is the peer's or one of the field's, and the peer's unless it is a proxy's.
fn forwarded_addresses(input: &[u8]) {
    let headers = lines(&HeaderName::from_static("x-forwarded-for"), input);
    let proxies = ["10.0.0.0/8".parse().unwrap()];
    let stranger = "192.0.2.1".parse().unwrap();
    assert_eq!(forwarded::client(stranger, &headers, &proxies), stranger);
    let proxy = "10.0.0.1".parse().unwrap();
    let client = forwarded::client(proxy, &headers, &proxies);
    let text = String::from_utf8_lossy(input);
    let mut named = text
        .split([',', '\n'])
        .filter_map(|part| part.trim().parse().ok());
    assert!(client == proxy || named.any(|one: std::net::IpAddr| one.to_canonical() == client));
}

#[cfg(test)]
#[path = "../../fuzz/replay.rs"]
mod replay;

#[cfg(test)]
mod tests {
    use super::{replay::replay, *};

    #[test]
    fn every_kept_input_has_its_property() {
        replay("structured_fields", structured_fields);
        replay("ranges", ranges);
        replay("dispositions", dispositions);
        replay("requests", requests);
        replay("jwts", jwts);
        replay("forms", forms);
    }
}
