//! The issuer's keys at one moment, and the lookup of the key that signed a token.

use super::{key::Key, refusal::Refusal, token::Token};

/// Limit on the keys that are tried for a token without a `kid`.
const MAX_TRIES: usize = 8;

/// The keys of one document; empty until the first one was read.
#[derive(Debug, Default)]
pub(super) struct KeySet {
    pub(super) generation: u64,
    pub(super) keys: Vec<Key>,
    /// The document that the keys were parsed from.
    pub(super) document: Vec<u8>,
}

impl KeySet {
    /// Verifies a token's signature with the keys that it may be signed with.
    ///
    /// A `kid` restricts them to the keys of this name (RFC 7515 §4.1.4). There may be several, of
    /// different types (RFC 7517 §4.5).
    pub(super) fn verify(&self, token: &Token<'_>) -> Result<(), Refusal> {
        if self.keys.is_empty() {
            return Err(Refusal::KeysUnavailable);
        }
        let matches_kid = |key: &&Key| token.kid.as_deref().is_none_or(|kid| key.has_kid(kid));
        let mut refusal = match &token.kid {
            Some(_) if self.keys.iter().any(|key| matches_kid(&key)) => Refusal::Algorithm,
            _ => Refusal::UnknownKey,
        };
        let candidates = self
            .keys
            .iter()
            .filter(matches_kid)
            .filter(|key| key.supports(token.algorithm))
            .take(MAX_TRIES);
        for key in candidates {
            if key.verifies(token.algorithm, token.message, token.signature) {
                return Ok(());
            }
            refusal = Refusal::Signature;
        }
        Err(refusal)
    }
}
