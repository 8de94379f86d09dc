//! Conditional requests (RFC 9110 §13).

use actix_web::{
    HttpMessage,
    http::header::{
        EntityTag, Header as _, HttpDate, IfMatch, IfModifiedSince, IfNoneMatch, IfRange,
        IfUnmodifiedSince,
    },
};
use domain::{Sha1, Timestamp};
use service::Entry;

/// What identifies the state of a resource.
pub(crate) struct Validators {
    /// Its entity tag, a strong one.
    pub(crate) etag: EntityTag,
    /// When it changed last, for resources that say so.
    pub(crate) last_modified: Option<HttpDate>,
}

/// What the conditions of a request for a resource come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Precondition {
    /// Answer it.
    Proceed,
    /// The client has it already: 304.
    NotModified,
    /// It is not what the client thinks: 412.
    Failed,
}

impl Validators {
    /// Those of what is told about a file, which change with the entry.
    pub(crate) fn of_entry(entry: &Entry) -> Self {
        Self {
            etag: entry_tag(entry),
            last_modified: None,
        }
    }

    /// Those of a file's bytes, which never change.
    pub(crate) fn of_content(sha1: &Sha1, uploaded: Timestamp) -> Self {
        Self {
            etag: EntityTag::new_strong(sha1.to_string()),
            last_modified: Some(std::time::SystemTime::from(uploaded).into()),
        }
    }

    /// Weighs the conditions of a `GET` or `HEAD`, in the order of §13.2.2.
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

    /// Whether the ranges of a request are for what the resource is now (§13.1.5).
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

/// Whether a request's `If-Match` is fulfilled; one that cannot be read is not.
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

/// HTTP's dates have no fractions.
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
