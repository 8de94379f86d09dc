//! The `Range` of a request and the `Content-Range` of a response (RFC 9110 §14).

use actix_web::{
    HttpMessage,
    http::header::{ByteRangeSpec, RANGE, Range},
};
use domain::{ByteRange, coalesce};

/// The largest number of parts; a request for more gets the whole content (§14.2).
const MOST_PARTS: usize = 50;

/// The bytes that a request asks for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum RequestedRange {
    /// All of them.
    Whole,
    /// These parts, at least one.
    Parts(Vec<ByteRange>),
    /// No byte that exists.
    Unsatisfiable,
}

/// Parses the `Range` of a request for a content of `size` bytes.
///
/// Anything but a byte range counts as absent.
pub(crate) fn parse_range(request: &impl HttpMessage, size: u64) -> RequestedRange {
    if size == 0 {
        // No `Content-Range` can describe bytes of an empty content. Clients that always ask for a range
        // would save the problem as the file.
        return RequestedRange::Whole;
    }
    let Some(specs) = byte_ranges(request) else {
        return RequestedRange::Whole;
    };
    if specs.is_empty() || specs.len() > MOST_PARTS {
        return RequestedRange::Whole;
    }
    let parts: Vec<ByteRange> = specs
        .iter()
        .filter_map(|spec| spec.to_satisfiable_range(size))
        .map(|(first, last)| ByteRange {
            start: first,
            end: last + 1,
        })
        .collect();
    if parts.is_empty() {
        return RequestedRange::Unsatisfiable;
    }
    RequestedRange::Parts(coalesce(parts))
}

/// The byte ranges of the only `Range` field; the case of the unit does not matter (§14.1).
fn byte_ranges(request: &impl HttpMessage) -> Option<Vec<ByteRangeSpec>> {
    let mut fields = request.headers().get_all(RANGE);
    let (unit, ranges) = fields.next()?.to_str().ok()?.split_once('=')?;
    if fields.next().is_some() || !unit.trim().eq_ignore_ascii_case("bytes") {
        return None;
    }
    match format!("bytes={ranges}").parse() {
        Ok(Range::Bytes(specs)) => Some(specs),
        _ => None,
    }
}

/// The value of `Content-Range` (RFC 9110 §14.4) for a part of a content of `size` bytes.
pub(crate) fn content_range(part: ByteRange, size: u64) -> String {
    format!("bytes {}-{}/{size}", part.start, part.end - 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::test::TestRequest;

    fn parts(range: &str, size: u64) -> RequestedRange {
        let request = TestRequest::default().insert_header((RANGE, range));
        parse_range(&request.to_http_request(), size)
    }

    fn these(ranges: &[(u64, u64)]) -> RequestedRange {
        let range = |&(start, end)| ByteRange { start, end };
        RequestedRange::Parts(ranges.iter().map(range).collect())
    }

    #[test]
    fn every_form_of_a_range_is_understood() {
        assert_eq!(parts("bytes=0-0", 10), these(&[(0, 1)]));
        assert_eq!(parts("bytes=2-", 10), these(&[(2, 10)]));
        assert_eq!(parts("Bytes=2-3", 10), these(&[(2, 4)]));
        assert_eq!(parts("bytes=-3", 10), these(&[(7, 10)]));
        assert_eq!(parts("bytes=-30", 10), these(&[(0, 10)]));
        assert_eq!(parts("bytes=5-99", 10), these(&[(5, 10)]));
        assert_eq!(
            parts("bytes=0-1,4-5, 8-", 10),
            these(&[(0, 2), (4, 6), (8, 10)])
        );
        assert_eq!(parts("bytes=0-5,3-8", 10), these(&[(0, 9)]));
        assert_eq!(parts("bytes=20-30,1-1", 10), these(&[(1, 2)]));
    }

    #[test]
    fn what_is_there_is_told_from_what_is_not() {
        assert_eq!(parts("bytes=10-", 10), RequestedRange::Unsatisfiable);
        assert_eq!(
            parts("bytes=20-30,40-50", 10),
            RequestedRange::Unsatisfiable
        );
        assert_eq!(parts("bytes=-0", 10), RequestedRange::Unsatisfiable);
        for range in ["bytes=0-", "bytes=0-9", "bytes=5-"] {
            assert_eq!(parts(range, 0), RequestedRange::Whole);
        }
        assert_eq!(parts("bytes=-5", 0), RequestedRange::Whole);
    }

    #[test]
    fn what_makes_no_sense_is_ignored() {
        let many = format!("bytes={}", vec!["0-0"; 51].join(","));
        for range in [
            "lines=1-2",
            "bytes",
            "bytes=",
            "bytes=a-b",
            "bytes=5-2",
            &many,
        ] {
            assert_eq!(parts(range, 10), RequestedRange::Whole, "{range}");
        }
    }
}
