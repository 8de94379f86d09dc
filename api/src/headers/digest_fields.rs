//! Parsing and writing `Repr-Digest` and `Content-Digest` (RFC 9530).

use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use domain::{Sha1, Sha256};
use service::Expected;
use sfv::{BareItem, Dictionary, ListEntry, Parser};

use crate::problem::{Problem, ProblemLocation};

/// The digest of the file itself.
pub(crate) const REPR_DIGEST: HeaderName = HeaderName::from_static("repr-digest");
/// The digest of the message's content as it is sent.
pub(crate) const CONTENT_DIGEST: HeaderName = HeaderName::from_static("content-digest");

/// Parses the digests of a field.
///
/// Unknown algorithms are ignored beside known ones. A field without any known algorithm is an error,
/// since the client would believe that the content was verified.
pub(crate) fn read(
    headers: &HeaderMap,
    name: &HeaderName,
    place: ProblemLocation,
) -> Result<Expected, Problem> {
    let wrong = |detail: &str| Problem::header(name, detail).named(place, name.as_str());
    let lines: Vec<&[u8]> = headers.get_all(name).map(HeaderValue::as_bytes).collect();
    if lines.is_empty() {
        return Ok(Expected::default());
    }
    let field = lines.join(b", ".as_slice());
    let digests: Dictionary = Parser::new(&field)
        .parse()
        .map_err(|_| wrong("the field must have the form `algorithm=:base64:`"))?;
    let mut expected = Expected::default();
    for (algorithm, value) in &digests {
        if count_keys(&field, algorithm.as_str()) > 1 {
            return Err(wrong(&format!("`{algorithm}` is repeated")));
        }
        match algorithm.as_str() {
            "sha" => {
                let digest = bytes(value)
                    .ok_or_else(|| wrong("`sha` must be 20 bytes in base64 between colons"))?;
                expected.sha1 = Some(Sha1::from(digest));
            }
            "sha-256" => {
                let digest = bytes(value)
                    .ok_or_else(|| wrong("`sha-256` must be 32 bytes in base64 between colons"))?;
                expected.sha256 = Some(Sha256::from(digest));
            }
            _ => {}
        }
    }
    if expected == Expected::default() {
        return Err(wrong("no supported algorithm; use `sha-256` or `sha`"));
    }
    Ok(expected)
}

/// Merges the digests of several fields.
pub(crate) fn join(one: Expected, other: Expected) -> Result<Expected, Problem> {
    let contradict = one.sha1.zip(other.sha1).is_some_and(|(a, b)| a != b)
        || one.sha256.zip(other.sha256).is_some_and(|(a, b)| a != b);
    if contradict {
        return Err(Problem::header(
            &REPR_DIGEST,
            "the announced digests contradict each other",
        ));
    }
    Ok(Expected {
        sha1: one.sha1.or(other.sha1),
        sha256: one.sha256.or(other.sha256),
        size: one.size.or(other.size),
    })
}

/// Formats the `Repr-Digest` of a content.
pub(crate) fn value(sha1: &Sha1, sha256: &Sha256) -> HeaderValue {
    let text = format!(
        "sha-256=:{}:, sha=:{}:",
        BASE64_STANDARD.encode(sha256.as_bytes()),
        BASE64_STANDARD.encode(sha1.as_bytes()),
    );
    // The value is visible ASCII only.
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static(""))
}

fn bytes<const N: usize>(value: &ListEntry) -> Option<[u8; N]> {
    let ListEntry::Item(item) = value else {
        return None;
    };
    let BareItem::ByteSequence(bytes) = &item.bare_item else {
        return None;
    };
    bytes.as_slice().try_into().ok()
}

/// Counts the occurrences of a key in a dictionary, of which the parser keeps the last (RFC 9651 §4.2.2).
///
/// Base64 has no comma, so the members of interest have none either.
fn count_keys(field: &[u8], key: &str) -> usize {
    let members = field.split(|byte| *byte == b',');
    members
        .filter(|member| {
            let name = member.split(|byte| matches!(byte, b'=' | b';')).next();
            name.is_some_and(|name| name.trim_ascii() == key.as_bytes())
        })
        .count()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHA1: &str = "sha=:qZk+NkcGgWq6PiVxeFDCbJzQ2J0=:";
    const SHA256: &str = "sha-256=:ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=:";

    fn parse(lines: &[&str]) -> Result<Expected, Problem> {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(REPR_DIGEST, HeaderValue::from_str(line).unwrap());
        }
        read(&headers, &REPR_DIGEST, ProblemLocation::Header)
    }

    #[test]
    fn known_algorithms_are_taken_in_one_line_or_several() {
        let both = parse(&[SHA1, SHA256]).unwrap();
        assert_eq!(both, parse(&[&format!("{SHA256}, {SHA1}")]).unwrap());
        assert_eq!(
            both.sha1.unwrap().to_string(),
            "a9993e364706816aba3e25717850c26c9cd0d89d"
        );
        assert_eq!(
            value(&both.sha1.unwrap(), &both.sha256.unwrap()),
            format!("{SHA256}, {SHA1}")
        );
        assert_eq!(parse(&[]).unwrap(), Expected::default());
        let with_unknown = parse(&[&format!("sha-512=:AAAA:, {SHA1}")]).unwrap();
        assert_eq!(with_unknown.sha1, both.sha1);
    }

    #[test]
    fn what_could_not_be_verified_is_refused() {
        for wrong in [
            "",
            "sha",
            "sha=abc",
            "sha=:AAAA:",
            "sha-256=:!!!!:",
            "md5=:1B2M2Y8AsgTpgAmY7PhCfg==:",
            "a9993e364706816aba3e25717850c26c9cd0d89d",
        ] {
            assert!(parse(&[wrong]).is_err(), "{wrong:?}");
        }
        assert!(parse(&[SHA1, SHA1]).is_err());
    }
}
