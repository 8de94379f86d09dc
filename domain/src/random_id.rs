//! Random ids, which cannot be guessed.

use std::{fmt, str::FromStr};

/// The error for a string that is not a random id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an id must have 32 lower-case hexadecimal digits")]
pub struct RandomIdError;

/// The id of an upload, a claim, a token or a link: 128 random bits, written as 32 lower-case
/// hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RandomId([u8; 16]);

impl RandomId {
    /// The id's bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl From<[u8; 16]> for RandomId {
    fn from(random: [u8; 16]) -> Self {
        Self(random)
    }
}

impl FromStr for RandomId {
    type Err = RandomIdError;

    fn from_str(text: &str) -> Result<Self, RandomIdError> {
        let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if text.len() != 32 || !text.bytes().all(is_digit) {
            return Err(RandomIdError);
        }
        let number = u128::from_str_radix(text, 16).map_err(|_| RandomIdError)?;
        Ok(Self(number.to_be_bytes()))
    }
}

impl fmt::Display for RandomId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_round_trips() {
        let id = RandomId::from([0xab; 16]);
        assert_eq!(id.to_string(), "ab".repeat(16));
        assert_eq!(id.to_string().parse(), Ok(id));
        for wrong in [
            "",
            "ab",
            &"AB".repeat(16),
            &"+a".repeat(16),
            &"é".repeat(16),
        ] {
            assert_eq!(wrong.parse::<RandomId>(), Err(RandomIdError), "{wrong:?}");
        }
    }
}
