//! Parsing and writing `Repr-Digest` and `Content-Digest` (RFC 9530).

use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use domain::{Sha1, Sha256};
use service::Expected;
use sfv::{BareItem, Dictionary, ListEntry, Parser};

use crate::problem::{Problem, ProblemLocation};

/// The digest of the file itself.
pub(crate) const REPR_DIGEST: HeaderName = HeaderName::from_static("repr-digest");
/// The digests of the file that a client wants.
pub(crate) const WANT_REPR_DIGEST: HeaderName = HeaderName::from_static("want-repr-digest");
/// The digest of the message's content as it is sent.
pub(crate) const CONTENT_DIGEST: HeaderName = HeaderName::from_static("content-digest");

/// Parses the digests of a field.
///
/// Unknown algorithms are ignored (RFC 9530 §2).
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

/// The digests that a client wants, from `Want-Repr-Digest` (RFC 9530 §4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct WantedDigests {
    sha1: bool,
    sha256: bool,
}

impl WantedDigests {
    /// Parses the preferences; 0 means that a digest is not wanted. Without any wish that can be met, a
    /// response has all digests.
    pub(crate) fn read(headers: &HeaderMap) -> Self {
        let lines: Vec<&[u8]> = headers
            .get_all(WANT_REPR_DIGEST)
            .map(HeaderValue::as_bytes)
            .collect();
        let all = Self {
            sha1: true,
            sha256: true,
        };
        if lines.is_empty() {
            return all;
        }
        let wishes: Dictionary = Parser::new(&lines.join(b", ".as_slice()))
            .parse()
            .unwrap_or_default();
        let wants = |algorithm: &str| match wishes.get(algorithm) {
            Some(ListEntry::Item(item)) => item
                .bare_item
                .as_integer()
                .is_some_and(|preference| (1..=10).contains(&i64::from(preference))),
            _ => false,
        };
        let wanted = Self {
            sha1: wants("sha"),
            sha256: wants("sha-256"),
        };
        if wanted.sha1 || wanted.sha256 {
            wanted
        } else {
            all
        }
    }
}

/// Formats the `Repr-Digest` of a content.
pub(crate) fn value(wanted: WantedDigests, sha1: &Sha1, sha256: &Sha256) -> HeaderValue {
    let mut members = Vec::new();
    if wanted.sha256 {
        let digest = BASE64_STANDARD.encode(sha256.as_bytes());
        members.push(format!("sha-256=:{digest}:"));
    }
    if wanted.sha1 {
        let digest = BASE64_STANDARD.encode(sha1.as_bytes());
        members.push(format!("sha=:{digest}:"));
    }
    // The value is visible ASCII only.
    HeaderValue::try_from(members.join(", ")).unwrap_or(HeaderValue::from_static(""))
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
        assert_eq!(written(&[], &both), format!("{SHA256}, {SHA1}"));
        assert_eq!(parse(&[]).unwrap(), Expected::default());
        let with_unknown = parse(&[&format!("sha-512=:AAAA:, {SHA1}")]).unwrap();
        assert_eq!(with_unknown.sha1, both.sha1);
    }

    fn written(wishes: &[&'static str], digests: &Expected) -> String {
        let mut headers = HeaderMap::new();
        for wish in wishes {
            headers.append(WANT_REPR_DIGEST, HeaderValue::from_static(wish));
        }
        let wanted = WantedDigests::read(&headers);
        let value = value(wanted, &digests.sha1.unwrap(), &digests.sha256.unwrap());
        value.to_str().unwrap().to_owned()
    }

    #[test]
    fn a_client_gets_the_digests_that_it_wants() {
        let both = parse(&[SHA1, SHA256]).unwrap();
        let all = format!("{SHA256}, {SHA1}");
        assert_eq!(written(&["sha=1"], &both), SHA1);
        assert_eq!(written(&["sha-256=10, sha=0"], &both), SHA256);
        assert_eq!(written(&["sha=3", "sha-256=1"], &both), all);
        for unmet in ["sha-512=5", "sha=0", "sha", "sha=1.5", "!"] {
            assert_eq!(written(&[unmet], &both), all, "{unmet}");
        }
    }

    #[test]
    fn unknown_algorithms_are_ignored() {
        for field in ["md5=:1B2M2Y8AsgTpgAmY7PhCfg==:", "sha-512=:AAAA:", "x=1"] {
            assert_eq!(parse(&[field]).unwrap(), Expected::default(), "{field}");
        }
    }

    #[test]
    fn what_could_not_be_verified_is_refused() {
        for wrong in [
            "sha",
            "sha=abc",
            "sha=:AAAA:",
            "sha-256=:!!!!:",
            "2aae6c35c94fcfb415dbe95f408b9ce91ee846ed",
        ] {
            assert!(parse(&[wrong]).is_err(), "{wrong:?}");
        }
        assert!(parse(&[SHA1, SHA1]).is_err());
    }
}
