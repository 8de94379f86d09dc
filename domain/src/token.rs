//! The service's own tokens, of which it keeps a hash only.

use crate::{Owner, RandomId, Scopes, Sha256, Timestamp};

/// A token, without its secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// The id, by which the token is listed and revoked.
    pub id: RandomId,
    /// The SHA-256 of the token's text.
    pub hash: Sha256,
    /// The owner whom the token authenticates.
    pub owner: Owner,
    /// The permissions of the token.
    pub scopes: Scopes,
    /// The purpose of the token, as its creator described it.
    pub label: String,
    /// The time of creation.
    pub create_at: Timestamp,
    /// The time at which the token expires, if it does.
    pub expires_at: Option<Timestamp>,
    /// The time of the last use, to the minute.
    pub used_at: Option<Timestamp>,
    /// The time of the revocation.
    pub revoke_at: Option<Timestamp>,
}

/// The state of a token at a given time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenState {
    /// The token authenticates its bearer.
    Valid,
    /// The token has expired.
    Expired,
    /// The token was revoked.
    Revoked,
}

impl Token {
    /// The state of the token at a given time.
    #[must_use]
    pub fn state(&self, now: Timestamp) -> TokenState {
        if self.revoke_at.is_some() {
            TokenState::Revoked
        } else if self.expires_at.is_some_and(|expires_at| expires_at <= now) {
            TokenState::Expired
        } else {
            TokenState::Valid
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_valid_until_it_expires_or_is_revoked() {
        let at = Timestamp::from_microseconds;
        let mut token = Token {
            id: [1; 16].into(),
            hash: [2; 32].into(),
            owner: Owner::anonymous(),
            scopes: Scopes::default(),
            label: String::new(),
            create_at: at(0),
            expires_at: None,
            used_at: None,
            revoke_at: None,
        };
        assert_eq!(token.state(at(i64::MAX)), TokenState::Valid);
        token.expires_at = Some(at(10));
        assert_eq!(token.state(at(9)), TokenState::Valid);
        assert_eq!(token.state(at(10)), TokenState::Expired);
        token.revoke_at = Some(at(5));
        assert_eq!(token.state(at(9)), TokenState::Revoked);
    }
}
