//! Verification of bearer tokens that are JWTs of one OpenID Connect issuer.
//!
//! A token is accepted when a key of the issuer verifies its signature, with an algorithm that the
//! settings name, and its claims are valid for this service and this time (RFC 7519 §7.2, RFC 8725
//! §3). The crate jsonwebtoken reads the issuer's keys and verifies signatures with them; the policy
//! is here. Tokens and keys appear in no log line and no error text.

mod algorithm;
mod claims;
mod error;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod jwk;
mod key;
mod key_set;
mod members;
mod provider;
mod public_key;
mod refresh;
mod refusal;
mod settings;
mod source;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod token;

pub use self::{
    algorithm::Algorithm,
    settings::{JwtSettings, KeySource},
};
pub(crate) use self::{claims::Verified, error::OpenError, refusal::Refusal};
use self::{refresh::Keys, token::Token};

/// Verifies the tokens of one issuer with its current keys.
pub(crate) struct JwtVerifier {
    settings: JwtSettings,
    keys: Keys,
}

impl JwtVerifier {
    /// Reads the issuer's keys.
    ///
    /// # Errors
    ///
    /// When the settings accept no token, or the key file has no usable key. If a URL does not
    /// answer, the failure is logged, and a later refresh tries again.
    pub(crate) async fn open(settings: JwtSettings) -> Result<Self, OpenError> {
        settings.check()?;
        let keys = Keys::open(&settings.keys).await?;
        Ok(Self { settings, keys })
    }

    /// Verifies a token at the time `now`, in seconds since 1970.
    ///
    /// An unknown key starts a refresh of the keys, at a limited rate, and waits for it; everything
    /// else is answered without waiting.
    ///
    /// # Errors
    ///
    /// When the token is not accepted, or no keys were ever read.
    pub(crate) async fn verify(&self, token: &str, now: u64) -> Result<Verified, Refusal> {
        let token = token::parse(token, &self.settings.algorithms)?;
        self.verify_signature(&token).await?;
        claims::check(&token.claims, &self.settings, now)
    }

    /// The generation of the current keys, a number that grows whenever they change.
    ///
    /// A cached verdict belongs to the generation that was current *before* the verification.
    pub(crate) fn generation(&self) -> u64 {
        self.keys.current().generation
    }

    /// Refreshes the keys; when that fails, the current ones stay in use.
    pub(crate) async fn refresh(&self) {
        self.keys.refresh().await;
    }

    async fn verify_signature(&self, token: &Token<'_>) -> Result<(), Refusal> {
        let known = self.keys.current();
        let verdict = known.verify(token);
        let may_be_outdated = match verdict {
            Err(Refusal::UnknownKey | Refusal::KeysUnavailable) => true,
            // Without a `kid`, the signature may be of a new key.
            Err(Refusal::Signature) => token.kid.is_none(),
            _ => false,
        };
        if !may_be_outdated {
            return verdict;
        }
        self.keys.refresh_if_due().await;
        let newer = self.keys.current();
        if newer.generation == known.generation {
            return verdict;
        }
        newer.verify(token)
    }
}
