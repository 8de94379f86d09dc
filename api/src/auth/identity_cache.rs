//! What was found out about tokens a moment ago.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use domain::Sha256;
use quick_cache::sync::Cache;

use super::identity::Identity;

/// How long a token of the service's is not looked up again: a revoked one works no longer.
const TOKEN_AGE: Duration = Duration::from_millis(500);

/// How long a JWT is not verified again, unless it expires or the issuer's keys change before.
const JWT_AGE: Duration = Duration::from_mins(5);

/// How many tokens are remembered at a time.
const CAPACITY: usize = 10_000;

/// The identities behind tokens, by the tokens' SHA-256.
pub(super) struct IdentityCache(Cache<Sha256, CachedIdentity>);

#[derive(Clone)]
struct CachedIdentity {
    identity: Arc<Identity>,
    /// Of the issuer's keys that it was verified with.
    generation: u64,
    /// Until when it is remembered, by a clock that nobody sets.
    until: Instant,
    /// The second in which a JWT is over.
    expires_at: u64,
}

/// When what was found out holds no longer.
#[derive(Debug, Clone, Copy)]
pub(super) enum Expiry {
    /// It may be revoked at any time.
    Own,
    /// It is over in this second since 1970.
    Jwt(u64),
}

impl IdentityCache {
    pub(super) fn new() -> Self {
        Self(Cache::new(CAPACITY))
    }

    /// Finds whose a token is, if that was found out with these keys and still holds in a second.
    pub(super) fn find(&self, digest: &Sha256, generation: u64, now: u64) -> Option<Arc<Identity>> {
        let cached = self.0.get(digest)?;
        let holds = cached.generation == generation
            && now < cached.expires_at
            && Instant::now() < cached.until;
        holds.then_some(cached.identity)
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
