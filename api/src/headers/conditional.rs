//! Conditional requests (RFC 9110 §13).

use actix_web::{
    HttpMessage,
    http::header::{
        EntityTag, Header as _, HttpDate, IfMatch, IfModifiedSince, IfNoneMatch, IfRange,
        IfUnmodifiedSince,
    },
};
use domain::{Sha1, Sha256, Timestamp};
use service::Entry;
use sha2::Digest as _;

/// The validators of a resource (RFC 9110 §8.8).
pub(crate) struct Validators {
    /// The strong entity tag.
    pub(crate) etag: EntityTag,
    /// The time of the last change, for resources that have one.
    pub(crate) last_modified: Option<HttpDate>,
}

/// The result of a request's conditions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Precondition {
    /// They hold: answer the request.
    Proceed,
    /// The client has the current state: 304.
    NotModified,
    /// The resource is in another state than the client expects: 412.
    Failed,
}

impl Validators {
    /// The validators of a file's metadata, which change with the entry.
    pub(crate) fn of_entry(entry: &Entry) -> Self {
        Self {
            etag: entry_tag(entry),
            last_modified: None,
        }
    }

    /// The validators of a file's bytes, which never change.
    pub(crate) fn of_content(sha1: &Sha1, uploaded: Timestamp) -> Self {
        Self {
            etag: EntityTag::new_strong(sha1.to_string()),
            last_modified: Some(std::time::SystemTime::from(uploaded).into()),
        }
    }

    /// The validators of bytes that a release of the service has.
    pub(crate) fn of_bytes(bytes: &[u8]) -> Self {
        let digest: [u8; 32] = sha2::Sha256::digest(bytes).into();
        Self {
            etag: EntityTag::new_strong(Sha256::from(digest).to_string()),
            last_modified: None,
        }
    }

    /// Returns whether a change is less than some seconds old.
    pub(crate) fn is_recent(modified: HttpDate, now: std::time::SystemTime) -> bool {
        let age = now.duration_since(std::time::SystemTime::from(modified));
        age.map_or(true, |age| age < std::time::Duration::from_secs(3))
    }

    /// Evaluates the conditions of a `GET` or `HEAD`, in the order of §13.2.2.
    pub(crate) fn evaluate(&self, request: &impl HttpMessage) -> Precondition {
        if !matches(request, &self.etag) {
            return Precondition::Failed;
        }
        if !request.headers().contains_key("if-match")
            && let (Ok(IfUnmodifiedSince(since)), Some(modified)) =
                (IfUnmodifiedSince::parse(request), self.last_modified)
            && seconds(modified) > seconds(since)
        {
            return Precondition::Failed;
        }
        if request.headers().contains_key("if-none-match") {
            let known = match IfNoneMatch::parse(request) {
                Ok(IfNoneMatch::Any) => true,
                Ok(IfNoneMatch::Items(tags)) => tags.iter().any(|tag| tag.weak_eq(&self.etag)),
                Err(_) => false,
            };
            return if known {
                Precondition::NotModified
            } else {
                Precondition::Proceed
            };
        }
        match (IfModifiedSince::parse(request), self.last_modified) {
            (Ok(IfModifiedSince(since)), Some(modified)) if seconds(modified) <= seconds(since) => {
                Precondition::NotModified
            }
            _ => Precondition::Proceed,
        }
    }

    /// Returns whether the ranges of a request apply to the current state (§13.1.5).
    pub(crate) fn allow_range(&self, request: &impl HttpMessage) -> bool {
        if !request.headers().contains_key("if-range") {
            return true;
        }
        match IfRange::parse(request) {
            Ok(IfRange::EntityTag(tag)) => tag.strong_eq(&self.etag),
            Ok(IfRange::Date(date)) => self
                .last_modified
                .is_some_and(|modified| seconds(modified) == seconds(date)),
            Err(_) => false,
        }
    }
}

/// The entity tag of an entry.
pub(crate) fn entry_tag(entry: &Entry) -> EntityTag {
    let born = entry.meta.upload_at.microseconds();
    EntityTag::new_strong(format!("{born:x}-{:x}", entry.version))
}

/// Returns whether the `If-Match` of a request holds; a malformed one does not.
pub(crate) fn matches(request: &impl HttpMessage, etag: &EntityTag) -> bool {
    if !request.headers().contains_key("if-match") {
        return true;
    }
    match IfMatch::parse(request) {
        Ok(IfMatch::Any) => true,
        Ok(IfMatch::Items(tags)) => tags.iter().any(|tag| tag.strong_eq(etag)),
        Err(_) => false,
    }
}

/// Seconds since 1970; HTTP dates have no fractions.
fn seconds(date: HttpDate) -> u64 {
    let time = std::time::SystemTime::from(date);
    time.duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::test::TestRequest;

    fn evaluate(fields: &[(&str, &str)]) -> Precondition {
        let sha1 = Sha1::from([0xab; 20]);
        let moment = Timestamp::from_microseconds(1_700_000_000_500_000);
        let mut request = TestRequest::default();
        for field in fields {
            request = request.append_header(*field);
        }
        Validators::of_content(&sha1, moment).evaluate(&request.to_http_request())
    }

    const SAME: &str = "Tue, 14 Nov 2023 22:13:20 GMT";
    const BEFORE: &str = "Tue, 14 Nov 2023 22:13:19 GMT";

    #[test]
    fn conditions_are_weighed_in_their_order() {
        let tag = format!("\"{}\"", "ab".repeat(20));
        let weak = format!("W/{tag}");
        let (proceed, known, failed) = (
            Precondition::Proceed,
            Precondition::NotModified,
            Precondition::Failed,
        );
        for (fields, verdict) in [
            (vec![], proceed),
            (vec![("if-none-match", tag.as_str())], known),
            (vec![("if-none-match", weak.as_str())], known),
            (vec![("if-none-match", "*")], known),
            (vec![("if-none-match", "\"x\"")], proceed),
            (
                vec![("if-none-match", "\"x\""), ("if-modified-since", SAME)],
                proceed,
            ),
            (vec![("if-modified-since", SAME)], known),
            (vec![("if-modified-since", BEFORE)], proceed),
            (vec![("if-modified-since", "yesterday")], proceed),
            (vec![("if-match", tag.as_str())], proceed),
            (vec![("if-match", "*")], proceed),
            (vec![("if-match", weak.as_str())], failed),
            (vec![("if-match", "\"x\"")], failed),
            (vec![("if-match", "x")], failed),
            (vec![("if-unmodified-since", BEFORE)], failed),
            (vec![("if-unmodified-since", SAME)], proceed),
            (
                vec![("if-match", tag.as_str()), ("if-unmodified-since", BEFORE)],
                proceed,
            ),
        ] {
            assert_eq!(evaluate(&fields), verdict, "{fields:?}");
        }
    }
}
