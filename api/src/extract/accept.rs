//! Whether the client takes the JSON that an operation answers with (RFC 9110 §12.5.1).

use std::future::{Ready, ready};

use actix_web::{
    FromRequest, HttpRequest,
    dev::Payload,
    http::header::{Accept, Header as _},
};

use crate::problem::{Problem, ProblemLocation, ProblemType};

/// Shows that the request accepts JSON, or says nothing about it.
///
/// It comes first among a handler's arguments, so that nothing is done for whom could not read
/// what became of it.
pub(crate) struct AcceptsJson;

impl FromRequest for AcceptsJson {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        // A field that cannot be read says nothing.
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
            let detail = "the answer is application/json, or application/problem+json";
            Problem::new(ProblemType::NotAcceptable, detail)
                .named(ProblemLocation::Header, "accept")
        }))
    }
}
