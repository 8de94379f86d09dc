//! Authentication by bearer tokens (RFC 6750): the service's own tokens, or JWTs of an OpenID Connect
//! issuer.
//!
//! A verified token is cached for a moment, so that a request costs one hash and one look-up in memory.

mod authenticator;
mod caller;
mod challenge;
mod identity;
mod identity_cache;
pub(crate) mod jwt;

#[cfg(any(test, fuzzing))]
pub use self::jwt::fuzzing::jwts;
pub(crate) use self::{
    authenticator::Authenticator,
    caller::{Caller, X_OWNER, authorize, read_owner},
    identity::Identity,
};
