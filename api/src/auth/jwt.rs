//! Bearer tokens that are signed JWTs of one OpenID Connect issuer.
//!
//! What a token says counts only once a key of the issuer has proven it, with an algorithm that the
//! settings name, and once it is for this service and this moment (RFC 7519 §7.2, RFC 8725 §3).
//! Tokens and keys are in no log and no error's text.

mod algorithm;
mod claims;
mod compact;
mod jwk;
mod key;
mod keys;
mod source;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

use std::{path::PathBuf, time::Duration};

use reqwest::Url;

pub use self::algorithm::Algorithm;
use self::{compact::Token, keys::Keys};

/// Which tokens are accepted.
#[derive(Clone, Debug)]
pub struct JwtSettings {
    /// What `iss` has to be, to the byte (RFC 7519 §4.1.1).
    pub issuer: String,
    /// Of which `aud` has to name one (RFC 7519 §4.1.3).
    pub audiences: Vec<String>,
    /// Where the issuer's keys are.
    pub keys: KeySource,
    /// Which algorithms are accepted, whatever a token or a key says (RFC 8725 §3.1).
    pub algorithms: Vec<Algorithm>,
    /// The claim that names the owner, such as `sub`.
    pub owner_claim: String,
    /// By how many whole seconds the issuer's clock may be off.
    pub leeway: Duration,
}

/// Where a JWK set is (RFC 7517 §5).
#[derive(Clone, Debug)]
pub enum KeySource {
    /// In a file.
    File(PathBuf),
    /// At a URL: `https`, or `http` on this machine.
    Url(Url),
}

/// What an accepted token says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Verified {
    /// The value of the owner's claim, which is not empty.
    pub(crate) subject: String,
    /// The scopes that were granted; there may be none.
    pub(crate) scopes: Vec<String>,
    /// The first second at which the token is refused, in seconds since 1970; the leeway is in it.
    pub(crate) expires_at: u64,
}

/// Why a token is refused. The texts may be shown to whoever sent the token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    /// It is no signed JWT at all, or too long.
    #[error("the token is not a signed JWT that can be read")]
    Malformed,
    /// Its algorithm is not accepted, or is not what the key is for.
    #[error("the token is signed with an algorithm that is not accepted")]
    Algorithm,
    /// Its header asks for something else than what is done here.
    #[error("the token's header has a `{0}` that is not accepted")]
    Header(&'static str),
    /// The issuer has no such key.
    #[error("the token is signed with a key that the issuer is not known to have")]
    UnknownKey,
    /// The signature is wrong.
    #[error("the token's signature is wrong")]
    Signature,
    /// Somebody else issued it.
    #[error("the token is from another issuer")]
    Issuer,
    /// It is for another service.
    #[error("the token is for another audience")]
    Audience,
    /// Its time is over.
    #[error("the token has expired")]
    Expired,
    /// Its time is yet to come.
    #[error("the token is not valid yet")]
    NotYetValid,
    /// A claim is missing, or has a value of a wrong kind.
    #[error("the token's claim `{0}` is missing or cannot be read")]
    Claim(String),
    /// No keys could be read since the start; later they may be.
    #[error("the issuer's keys cannot be had at the moment")]
    KeysUnavailable,
}

/// Why tokens cannot be verified at all with some settings.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A setting is empty that decides what is accepted.
    #[error("tokens cannot be verified without {0}")]
    Missing(&'static str),
    /// The keys' URL would let others than the issuer choose the keys.
    #[error("the URL of the issuer's keys {0}")]
    Url(&'static str),
    /// Nothing can be fetched, whatever the URL.
    #[error("the issuer's keys cannot be fetched")]
    Http(#[source] reqwest::Error),
    /// The file has no keys.
    #[error("the issuer's keys cannot be read from {path}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: source::Failure,
    },
}

/// Verifies the tokens of one issuer, with the keys that it has at the time.
pub(crate) struct JwtVerifier {
    settings: JwtSettings,
    keys: Keys,
}

impl JwtVerifier {
    /// Reads the issuer's keys.
    ///
    /// # Errors
    ///
    /// When the settings accept nothing, or the key file has no usable key. A URL that does not
    /// answer is logged instead, and asked again later.
    pub(crate) async fn open(settings: JwtSettings) -> Result<Self, OpenError> {
        for (empty, what) in [
            (settings.issuer.is_empty(), "an issuer"),
            (settings.audiences.is_empty(), "an audience"),
            (settings.algorithms.is_empty(), "an algorithm"),
            (settings.owner_claim.is_empty(), "the owner's claim"),
        ] {
            if empty {
                return Err(OpenError::Missing(what));
            }
        }
        let keys = Keys::open(&settings.keys).await?;
        Ok(Self { settings, keys })
    }

    /// Verifies a token at a time, in seconds since 1970.
    ///
    /// A key that is not known makes the keys be read again, once in a while; nothing else waits.
    ///
    /// # Errors
    ///
    /// When the token is not accepted, or no keys could ever be read.
    pub(crate) async fn verify(&self, token: &str, now: u64) -> Result<Verified, Refusal> {
        let token = compact::read(token, &self.settings.algorithms)?;
        self.prove(&token).await?;
        claims::check(&token.claims, &self.settings, now)
    }

    /// Which set of keys is in use: a number that grows whenever the set changes.
    ///
    /// A verdict that is kept for later belongs to the generation from *before* it was asked for.
    pub(crate) fn generation(&self) -> u64 {
        self.keys.current().generation()
    }

    /// Reads the keys again; when that fails, those that were read before stay in use.
    pub(crate) async fn refresh(&self) {
        self.keys.refresh().await;
    }

    async fn prove(&self, token: &Token<'_>) -> Result<(), Refusal> {
        let known = self.keys.current();
        let verdict = known.prove(token);
        // Without a `kid`, a wrong signature may as well be one of a new key.
        let outdated = match verdict {
            Err(Refusal::UnknownKey | Refusal::KeysUnavailable) => true,
            Err(Refusal::Signature) => token.kid.is_none(),
            _ => false,
        };
        if !outdated {
            return verdict;
        }
        self.keys.catch_up().await;
        let newer = self.keys.current();
        if newer.generation() == known.generation() {
            return verdict;
        }
        newer.prove(token)
    }
}
