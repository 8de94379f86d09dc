//! The caller of a request: the owner for whom it is made.

use std::{
    future::{Ready, ready},
    sync::Arc,
};

use actix_web::{
    FromRequest, HttpMessage as _, HttpRequest,
    dev::Payload,
    http::header::{HeaderMap, HeaderName, HeaderValue},
};
use domain::{Owner, Scope};

use super::{
    challenge::{forbidden, missing},
    identity::Identity,
};
use crate::problem::Problem;

/// The field in which an admin names the owner for whom a request is made.
pub(crate) const X_OWNER: HeaderName = HeaderName::from_static("x-owner");

/// Extracts the owner for whom a request is made, which admission determined.
///
/// A handler that is reached without admission answers 401.
pub(crate) struct Caller(pub(crate) Owner);

impl FromRequest for Caller {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let extensions = request.extensions();
        let identity = extensions.get::<Arc<Identity>>();
        let owner = identity.map(|identity| Self(identity.owner.clone()));
        ready(owner.ok_or_else(missing))
    }
}

/// Checks that the credentials allow the operation, and applies `X-Owner`.
///
/// # Errors
///
/// 403 if a scope is missing, 400 for an `X-Owner` that is not a valid owner.
pub(crate) fn authorize(
    identity: Arc<Identity>,
    headers: &HeaderMap,
    scope: Scope,
) -> Result<Arc<Identity>, Problem> {
    if !identity.scopes.allow(scope) {
        return Err(forbidden(scope));
    }
    let mut named = headers.get_all(X_OWNER);
    let Some(name) = named.next() else {
        return Ok(identity);
    };
    if !identity.scopes.allow(Scope::Admin) {
        return Err(forbidden(Scope::Admin));
    }
    if named.next().is_some() {
        return Err(Problem::header(&X_OWNER, "more than one owner"));
    }
    let owner = read_owner(name).map_err(|detail| Problem::header(&X_OWNER, detail))?;
    Ok(Arc::new(Identity {
        owner,
        ..(*identity).clone()
    }))
}

/// Parses the value of `X-Owner`.
pub(crate) fn read_owner(name: &HeaderValue) -> Result<Owner, String> {
    let name = std::str::from_utf8(name.as_bytes()).map_err(|_| "an owner must be UTF-8")?;
    name.parse()
        .map_err(|error: domain::OwnerError| error.to_string())
}
