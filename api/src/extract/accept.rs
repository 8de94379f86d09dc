//! Checking that the client accepts JSON (RFC 9110 §12.5.1).

use std::future::{Ready, ready};

use actix_web::{
    FromRequest, HttpRequest,
    dev::Payload,
    http::header::{Accept, Header as _},
};

use crate::problem::{Problem, ProblemLocation, ProblemType};

/// Extractor that refuses a request whose `Accept` excludes JSON.
///
/// It is a handler's first argument, so that nothing happens for a client that could not read the
/// response.
pub(crate) struct AcceptsJson;

impl FromRequest for AcceptsJson {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        // A malformed field counts as absent.
        let accepted = Accept::parse(request)
            .ok()
            .filter(|accept| !accept.is_empty());
        let accepts = accepted.is_none_or(|accept| {
            accept.iter().any(|range| {
                let (kind, format) = (range.item.type_(), range.item.subtype());
                range.quality > actix_web::http::header::Quality::ZERO
                    && (kind == mime::STAR
                        || kind == mime::APPLICATION
                            && (format == mime::STAR || format == mime::JSON))
            })
        });
        ready(accepts.then_some(Self).ok_or_else(|| {
            let detail = "the response is application/json or application/problem+json";
            Problem::new(ProblemType::NotAcceptable, detail)
                .named(ProblemLocation::Header, "accept")
        }))
    }
}
