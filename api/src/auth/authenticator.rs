//! Verifying the credentials of requests.

use std::sync::Arc;

use actix_web::http::header::{self, HeaderMap};
use domain::{Owner, Scope, Sha256, Timestamp, TokenText};
use service::{FileService, TokenState};
use sha2::Digest as _;
use telemetry::Component;

use super::{
    challenge::{invalid, missing},
    identity::Identity,
    identity_cache::{Expiry, IdentityCache},
    jwt::{JwtVerifier, Refusal, Verified},
};
use crate::problem::Problem;

/// The longest token that is verified, in bytes.
const MAX_TOKEN_LENGTH: usize = 16 * 1024;

/// Verifies bearer tokens, and caches the verified ones.
pub(crate) struct Authenticator {
    service: FileService,
    own_tokens: bool,
    jwt: Option<JwtVerifier>,
    identity_cache: IdentityCache,
    /// The identity of all requests where no credentials are accepted.
    anonymous: Option<Arc<Identity>>,
}

impl Authenticator {
    pub(crate) fn new(service: FileService, own_tokens: bool, jwt: Option<JwtVerifier>) -> Self {
        let is_open = !own_tokens && jwt.is_none();
        Self {
            service,
            own_tokens,
            jwt,
            identity_cache: IdentityCache::new(),
            anonymous: is_open.then(|| Arc::new(Identity::anonymous())),
        }
    }

    /// Refreshes the issuer's keys, if there is an issuer.
    pub(crate) async fn refresh_keys(&self) {
        if let Some(jwt) = &self.jwt {
            jwt.refresh().await;
        }
    }

    /// Verifies the credentials of a request.
    ///
    /// # Errors
    ///
    /// 401 for missing or invalid credentials; 503 if they cannot be verified at the moment.
    pub(crate) async fn identify(
        &self,
        headers: &HeaderMap,
        now: Timestamp,
    ) -> Result<Arc<Identity>, Problem> {
        if let Some(anonymous) = &self.anonymous {
            return Ok(Arc::clone(anonymous));
        }
        let token = bearer(headers)?;
        let digest: [u8; 32] = sha2::Sha256::digest(token).into();
        let digest = Sha256::from(digest);
        let generation = self.jwt.as_ref().map_or(0, JwtVerifier::generation);
        if let Some(identity) = self.identity_cache.find(&digest, generation, seconds(now)) {
            return Ok(identity);
        }
        let (identity, expiry) = match &self.jwt {
            _ if self.own_tokens && TokenText::looks_like(token) => {
                (self.find_own_token(token).await?, Expiry::Own)
            }
            Some(jwt) => {
                let verified = jwt.verify(token, seconds(now)).await;
                let verified = verified.map_err(|refusal| jwt_problem(&refusal))?;
                let expires_at = verified.expires_at;
                (jwt_identity(&verified)?, Expiry::Jwt(expires_at))
            }
            None => return Err(invalid("the token is unknown")),
        };
        let identity = Arc::new(identity);
        self.identity_cache
            .insert(digest, Arc::clone(&identity), generation, expiry);
        Ok(identity)
    }

    async fn find_own_token(&self, token: &str) -> Result<Identity, Problem> {
        let text: TokenText = token
            .parse()
            .map_err(|error: domain::TokenTextError| invalid(&error.to_string()))?;
        match self.service.find_token(&text).await? {
            Some((token, TokenState::Valid)) => Ok(Identity {
                actor: format!("token:{}", token.id),
                owner: token.owner,
                scopes: token.scopes,
            }),
            Some((_, TokenState::Expired)) => Err(invalid("the token has expired")),
            Some((_, TokenState::Revoked)) => Err(invalid("the token was revoked")),
            None => Err(invalid("the token is unknown")),
        }
    }
}

fn seconds(moment: Timestamp) -> u64 {
    moment.microseconds().unsigned_abs() / 1_000_000
}

/// The one bearer token of a request (RFC 6750 §2.1).
fn bearer(headers: &HeaderMap) -> Result<&str, Problem> {
    let mut fields = headers.get_all(header::AUTHORIZATION);
    let field = fields.next().ok_or_else(missing)?;
    if fields.next().is_some() {
        return Err(invalid("more than one Authorization field"));
    }
    let text = field.to_str().unwrap_or_default().trim();
    let (scheme, token) = text.split_once(' ').unwrap_or((text, ""));
    let token = token.trim_start();
    if !scheme.eq_ignore_ascii_case("bearer") || token.is_empty() {
        return Err(invalid(
            "the Authorization field must be `Bearer` and a token",
        ));
    }
    if token.len() > MAX_TOKEN_LENGTH {
        return Err(invalid("the token is too long"));
    }
    Ok(token)
}

fn jwt_identity(verified: &Verified) -> Result<Identity, Problem> {
    let malformed = |error: domain::OwnerError| invalid(&format!("the token's subject: {error}"));
    let owner: Owner = verified.subject.parse().map_err(malformed)?;
    // The issuer may grant scopes for other services, too.
    let scopes = verified
        .scopes
        .iter()
        .filter_map(|scope| scope.parse().ok());
    Ok(Identity {
        actor: format!("jwt:{owner}"),
        owner,
        scopes: scopes.collect::<Vec<Scope>>().into_iter().collect(),
    })
}

fn jwt_problem(refusal: &Refusal) -> Problem {
    match refusal {
        Refusal::KeysUnavailable => Problem::unavailable(Component::Service, refusal),
        refusal => invalid(&refusal.to_string()),
    }
}
