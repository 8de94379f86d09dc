//! A cache of verified tokens.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use domain::Sha256;
use quick_cache::sync::Cache;

use super::identity::Identity;

/// Time after which one of the service's own tokens is looked up again, so that a revocation takes effect.
const TOKEN_AGE: Duration = Duration::from_millis(500);

/// Time after which a JWT is verified again, unless it expires or the issuer's keys change earlier.
const JWT_AGE: Duration = Duration::from_mins(5);

/// The largest number of cached tokens.
const CAPACITY: usize = 10_000;

/// The identities of verified tokens, by the tokens' SHA-256.
pub(super) struct IdentityCache(Cache<Sha256, CachedIdentity>);

#[derive(Clone)]
struct CachedIdentity {
    identity: Arc<Identity>,
    /// The generation of the issuer's keys that verified the token.
    generation: u64,
    /// The end of the cache entry, by the monotonic clock.
    until: Instant,
    /// The second at which a JWT expires.
    expires_at: u64,
}

/// The reason why a cache entry ends.
#[derive(Debug, Clone, Copy)]
pub(super) enum Expiry {
    /// The token may be revoked at any time.
    Own,
    /// The JWT expires in this second since 1970.
    Jwt(u64),
}

impl IdentityCache {
    pub(super) fn new() -> Self {
        Self(Cache::new(CAPACITY))
    }

    /// Finds the identity of a token, if these keys verified it and it has not expired.
    pub(super) fn find(&self, digest: &Sha256, generation: u64, now: u64) -> Option<Arc<Identity>> {
        let cached = self.0.get(digest)?;
        let is_valid = cached.generation == generation
            && now < cached.expires_at
            && Instant::now() < cached.until;
        is_valid.then_some(cached.identity)
    }

    pub(super) fn insert(
        &self,
        digest: Sha256,
        identity: Arc<Identity>,
        generation: u64,
        expiry: Expiry,
    ) {
        let (age, expires_at) = match expiry {
            Expiry::Own => (TOKEN_AGE, u64::MAX),
            Expiry::Jwt(expires_at) => (JWT_AGE, expires_at),
        };
        let cached = CachedIdentity {
            identity,
            generation,
            until: Instant::now() + age,
            expires_at,
        };
        self.0.insert(digest, cached);
    }
}
