//! The text of the service's own tokens.

use std::{fmt, str::FromStr};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

/// The prefix of tokens, by which people and secret scanners recognize them.
const PREFIX: &str = "fst_";

/// The size of a token's secret in bytes: 256 random bits.
const SECRET: usize = 32;

/// The size of the CRC-32 of the secret, which detects a mistyped or truncated token without a
/// lookup.
const CHECK: usize = 4;

/// The error for a string that is not a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this is not a token of the service")]
pub struct TokenTextError;

/// A token as its bearer presents it: `fst_`, and a secret with its checksum in base64url.
///
/// It is never stored and never logged; [`fmt::Debug`] does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct TokenText(String);

impl TokenText {
    /// The token with a given secret.
    #[must_use]
    pub fn new(secret: [u8; SECRET]) -> Self {
        let mut bytes = [0; SECRET + CHECK];
        bytes[..SECRET].copy_from_slice(&secret);
        bytes[SECRET..].copy_from_slice(&crc32fast::hash(&secret).to_be_bytes());
        Self(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes)))
    }

    /// True if a string has the prefix of a token.
    #[must_use]
    pub fn looks_like(text: &str) -> bool {
        text.starts_with(PREFIX)
    }

    /// The token, to be shown to its bearer only.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl FromStr for TokenText {
    type Err = TokenTextError;

    fn from_str(text: &str) -> Result<Self, TokenTextError> {
        let encoded = text.strip_prefix(PREFIX).ok_or(TokenTextError)?;
        let bytes = URL_SAFE_NO_PAD
            .decode(encoded)
            .map_err(|_| TokenTextError)?;
        let bytes: [u8; SECRET + CHECK] = bytes.try_into().map_err(|_| TokenTextError)?;
        let mut secret = [0; SECRET];
        secret.copy_from_slice(&bytes[..SECRET]);
        let token = Self::new(secret);
        (token.0 == text).then_some(token).ok_or(TokenTextError)
    }
}

impl fmt::Debug for TokenText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenText(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_round_trips_and_no_character_can_be_replaced() {
        let token = TokenText::new([7; SECRET]);
        assert_eq!(token.reveal().len(), 52);
        assert!(TokenText::looks_like(token.reveal()));
        assert_eq!(token.reveal().parse(), Ok(token.clone()));
        for at in PREFIX.len()..52 {
            let mut other = token.reveal().as_bytes().to_vec();
            other[at] = if other[at] == b'A' { b'B' } else { b'A' };
            let other = String::from_utf8(other).unwrap();
            assert_eq!(other.parse::<TokenText>(), Err(TokenTextError), "{at}");
        }
        for wrong in ["", "fst_", "fst_AAAA", "fst_é", &token.reveal()[4..]] {
            assert_eq!(wrong.parse::<TokenText>(), Err(TokenTextError), "{wrong}");
        }
        assert!(!format!("{token:?}").contains(&token.reveal()[5..]));
    }
}
