//! The parameters in the path of a URL.

use std::future::{Ready, ready};

use actix_web::{FromRequest, HttpRequest, dev::Payload};
use domain::{RandomId, Sha1};

use crate::problem::{Problem, ProblemLocation, ProblemType};

/// Extracts the SHA-1 from `/files/{file_sha1}`, in lower or upper case.
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
                        .named(ProblemLocation::Path, "file_sha1")
                }),
        )
    }
}

/// Extracts the id from `/tus/{upload_id}` or `/uploads/{upload_id}`; a malformed id names no upload.
pub(crate) struct PathUpload(pub(crate) RandomId);

impl FromRequest for PathUpload {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let id = id(request, "upload_id", service::Error::UploadNotFound);
        ready(id.map(Self))
    }
}

/// Extracts the id from `/claims/{claim_id}`; a malformed id names no claim.
pub(crate) struct PathClaim(pub(crate) RandomId);

impl FromRequest for PathClaim {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let id = id(request, "claim_id", service::Error::ClaimNotFound);
        ready(id.map(Self))
    }
}

/// Extracts the id from `/transfers/{transfer_id}`; a malformed id names no transfer.
pub(crate) struct PathTransfer(pub(crate) RandomId);

impl FromRequest for PathTransfer {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let id = id(request, "transfer_id", service::Error::TransferNotFound);
        ready(id.map(Self))
    }
}

fn id(request: &HttpRequest, name: &str, unknown: service::Error) -> Result<RandomId, Problem> {
    let text = request.match_info().get(name).unwrap_or_default();
    text.parse()
        .map_err(|_| Problem::from(unknown).named(ProblemLocation::Path, name))
}
