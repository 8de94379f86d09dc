//! The text of the service's own tokens.

use std::{fmt, str::FromStr};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

/// What tokens begin with, by which people and scanners know them.
const PREFIX: &str = "fst_";

/// A token's secret: 256 random bits.
const SECRET: usize = 32;

/// A CRC-32 of the secret, so that what was mistyped or cut off is told without a look-up.
const CHECK: usize = 4;

/// Why a string is no token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this is no token of the service's")]
pub struct TokenTextError;

/// What somebody shows to be let in: `fst_`, and a secret with its checksum in base64url.
///
/// It is never stored and never logged; [`fmt::Debug`] does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct TokenText(String);

impl TokenText {
    /// The token with a secret.
    #[must_use]
    pub fn new(secret: [u8; SECRET]) -> Self {
        let mut bytes = [0; SECRET + CHECK];
        bytes[..SECRET].copy_from_slice(&secret);
        bytes[SECRET..].copy_from_slice(&crc32fast::hash(&secret).to_be_bytes());
        Self(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes)))
    }

    /// Whether a string is meant to be such a token.
    #[must_use]
    pub fn looks_like(text: &str) -> bool {
        text.starts_with(PREFIX)
    }

    /// The token, to be given to whom it is for.
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
    fn a_token_is_read_as_it_is_written_and_no_digit_can_be_another() {
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
