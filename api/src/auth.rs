//! Who makes a request, and what their credentials allow.
//!
//! Credentials are bearer tokens (RFC 6750): the service's own, or JWTs of an OpenID Connect issuer.
//! What was found out about one is remembered for a moment, so that a request costs one hash and
//! one look-up in memory.

pub(crate) mod jwt;
mod remembered;

use std::sync::Arc;

use actix_web::http::header::{self, HeaderMap, HeaderValue};
use domain::{Owner, Scope, Scopes, Sha256, Timestamp, TokenText};
use service::{FileService, TokenState};
use sha2::Digest as _;

use self::{
    jwt::{JwtVerifier, Refusal, Verified},
    remembered::{Expiry, Remembered},
};
use crate::{
    problem::{Fault, Problem, ProblemType},
    state::X_OWNER,
};

/// What a challenge begins with (RFC 6750 §3).
const CHALLENGE: &str = "Bearer realm=\"fileserver\"";

/// No token that anybody issues is longer.
const LONGEST_TOKEN: usize = 16 * 1024;

/// For whom a request is made, by whom, and what they may do.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    /// Who shows the credentials, as the audit log has it: `token:<id>`, `jwt:<subject>` or
    /// `anonymous`.
    pub(crate) actor: String,
    /// Whose files it is about.
    pub(crate) owner: Owner,
    /// What the credentials allow.
    pub(crate) scopes: Scopes,
}

impl Identity {
    fn anonymous() -> Self {
        Self {
            actor: "anonymous".to_owned(),
            owner: Owner::anonymous(),
            scopes: Scopes::of_anonymous(),
        }
    }
}

/// Tells who makes a request.
pub(crate) struct Authenticator {
    service: FileService,
    own_tokens: bool,
    jwt: Option<JwtVerifier>,
    remembered: Remembered,
    /// Who everybody is where nobody is asked for credentials.
    anonymous: Option<Arc<Identity>>,
}

impl Authenticator {
    pub(crate) fn new(service: FileService, own_tokens: bool, jwt: Option<JwtVerifier>) -> Self {
        let is_open = !own_tokens && jwt.is_none();
        Self {
            service,
            own_tokens,
            jwt,
            remembered: Remembered::new(),
            anonymous: is_open.then(|| Arc::new(Identity::anonymous())),
        }
    }

    /// Looks for new keys of the issuer, if there is one.
    pub(crate) async fn refresh_keys(&self) {
        if let Some(jwt) = &self.jwt {
            jwt.refresh().await;
        }
    }

    /// Tells who makes a request.
    ///
    /// # Errors
    ///
    /// 401 for credentials that are missing or worth nothing; 503 when nobody can tell.
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
        if let Some(identity) = self.remembered.find(&digest, generation, seconds(now)) {
            return Ok(identity);
        }
        let (identity, expiry) = match &self.jwt {
            _ if self.own_tokens && TokenText::looks_like(token) => {
                (self.look_up(token).await?, Expiry::Own)
            }
            Some(jwt) => {
                let verified = jwt.verify(token, seconds(now)).await;
                let verified = verified.map_err(|refusal| refused(&refusal))?;
                let expires_at = verified.expires_at;
                (by_jwt(&verified)?, Expiry::Jwt(expires_at))
            }
            None => return Err(invalid("this is no token of the service's")),
        };
        let identity = Arc::new(identity);
        self.remembered
            .insert(digest, Arc::clone(&identity), generation, expiry);
        Ok(identity)
    }

    async fn look_up(&self, token: &str) -> Result<Identity, Problem> {
        let text: TokenText = token
            .parse()
            .map_err(|error: domain::TokenTextError| invalid(&error.to_string()))?;
        match self.service.find_token(&text).await? {
            Some((token, TokenState::Good)) => Ok(Identity {
                actor: format!("token:{}", token.id),
                owner: token.owner,
                scopes: token.scopes,
            }),
            Some((_, TokenState::Expired)) => Err(invalid("the token has expired")),
            Some((_, TokenState::Revoked)) => Err(invalid("the token was revoked")),
            None => Err(invalid("this is no token of the service's")),
        }
    }
}

/// Tells for whom somebody makes a request, if their credentials allow it.
///
/// # Errors
///
/// 403 for credentials that do not allow it, 400 for an `X-Owner` that nobody can be.
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
        return Err(Problem::header(&X_OWNER, "there is more than one owner"));
    }
    let owner = read_owner(name).map_err(|detail| Problem::header(&X_OWNER, detail))?;
    Ok(Arc::new(Identity {
        owner,
        ..(*identity).clone()
    }))
}

/// Reads the owner whom a field names.
pub(crate) fn read_owner(name: &HeaderValue) -> Result<Owner, String> {
    let name = std::str::from_utf8(name.as_bytes()).map_err(|_| "an owner is UTF-8")?;
    name.parse()
        .map_err(|error: domain::OwnerError| error.to_string())
}

/// Refuses a request that shows no credentials.
pub(crate) fn missing() -> Problem {
    let detail = "the request has to say `Authorization: Bearer` and a token";
    unauthorized(ProblemType::MissingCredentials, detail, "")
}

fn seconds(moment: Timestamp) -> u64 {
    moment.microseconds().unsigned_abs() / 1_000_000
}

/// The one token that a request shows in its header (RFC 6750 §2.1).
fn bearer(headers: &HeaderMap) -> Result<&str, Problem> {
    let mut fields = headers.get_all(header::AUTHORIZATION);
    let field = fields.next().ok_or_else(missing)?;
    if fields.next().is_some() {
        return Err(invalid("there is more than one Authorization field"));
    }
    let text = field.to_str().unwrap_or_default().trim();
    let (scheme, token) = text.split_once(' ').unwrap_or((text, ""));
    let token = token.trim_start();
    if !scheme.eq_ignore_ascii_case("bearer") || token.is_empty() {
        return Err(invalid("credentials are `Bearer` and a token"));
    }
    if token.len() > LONGEST_TOKEN {
        return Err(invalid("no token is that long"));
    }
    Ok(token)
}

fn by_jwt(verified: &Verified) -> Result<Identity, Problem> {
    let wrong = |error: domain::OwnerError| invalid(&format!("the token's subject: {error}"));
    let owner: Owner = verified.subject.parse().map_err(wrong)?;
    // An issuer has scopes for others, too.
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

fn refused(refusal: &Refusal) -> Problem {
    match refusal {
        Refusal::KeysUnavailable => Problem::unavailable(Fault::Service, refusal),
        refusal => invalid(&refusal.to_string()),
    }
}

fn invalid(detail: &str) -> Problem {
    let error = ", error=\"invalid_token\"";
    unauthorized(ProblemType::InvalidCredentials, detail, error)
}

fn unauthorized(kind: ProblemType, detail: &str, error: &str) -> Problem {
    let challenge = HeaderValue::try_from(format!("{CHALLENGE}{error}"));
    Problem::new(kind, detail).with_header(
        header::WWW_AUTHENTICATE,
        challenge.unwrap_or(HeaderValue::from_static(CHALLENGE)),
    )
}

/// Refuses credentials that are good, and do not allow what is asked for (RFC 6750 §3.1).
fn forbidden(scope: Scope) -> Problem {
    let challenge = format!("{CHALLENGE}, error=\"insufficient_scope\", scope=\"{scope}\"");
    let detail = format!("this needs credentials with the scope {scope}");
    Problem::new(ProblemType::InsufficientScope, detail).with_header(
        header::WWW_AUTHENTICATE,
        HeaderValue::try_from(challenge).unwrap_or(HeaderValue::from_static(CHALLENGE)),
    )
}
