//! What the path of a URL names.

use std::future::{Ready, ready};

use actix_web::{FromRequest, HttpRequest, dev::Payload};
use domain::Sha1;

use crate::problem::{Place, Problem, ProblemType};

/// The SHA-1 in `/files/{file_sha1}`, in lower or upper case.
pub(crate) struct PathSha1(pub(crate) Sha1);

impl FromRequest for PathSha1 {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let text = request.match_info().get("file_sha1").unwrap_or_default();
        ready(
            text.parse()
                .map(Self)
                .map_err(|error: domain::DigestError| {
                    Problem::new(ProblemType::InvalidSha1, error.to_string())
                        .named(Place::Path, "file_sha1")
                }),
        )
    }
}
