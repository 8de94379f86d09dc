//! Owners of files.

use std::{fmt, str::FromStr};

/// The reason why a string is not an owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OwnerError {
    /// The string is empty, or longer than the subject of a token may be.
    #[error("an owner must have 1 to {max} bytes, not {0}", max = Owner::MAX_BYTES)]
    Length(usize),
    /// The string contains a control character.
    #[error("an owner cannot contain control characters")]
    Control,
    /// The string begins or ends with white space, which some databases ignore in comparisons.
    #[error("an owner cannot begin or end with white space")]
    Padded,
}

/// The owner of files: 1 to 255 bytes of UTF-8 without control characters, and without white space
/// at the beginning or the end.
///
/// Every operation on files is for one owner, and sees the entries of that owner only.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Owner(String);

impl Owner {
    /// The maximum size of an owner in bytes.
    pub const MAX_BYTES: usize = 255;

    /// The owner of all files while the service requires no credentials.
    #[must_use]
    pub fn anonymous() -> Self {
        Self("anonymous".to_owned())
    }

    /// The owner, unchanged.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Owner {
    type Err = OwnerError;

    fn from_str(owner: &str) -> Result<Self, OwnerError> {
        if owner.is_empty() || owner.len() > Self::MAX_BYTES {
            return Err(OwnerError::Length(owner.len()));
        }
        if owner.chars().any(char::is_control) {
            return Err(OwnerError::Control);
        }
        if owner.trim() != owner {
            return Err(OwnerError::Padded);
        }
        Ok(Self(owner.to_owned()))
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owner_is_one_line_of_limited_length() {
        assert_eq!("alice".parse::<Owner>().unwrap().as_str(), "alice");
        assert_eq!("".parse::<Owner>(), Err(OwnerError::Length(0)));
        assert_eq!(
            "x".repeat(256).parse::<Owner>(),
            Err(OwnerError::Length(256))
        );
        assert_eq!("a\nb".parse::<Owner>(), Err(OwnerError::Control));
        assert_eq!("alice ".parse::<Owner>(), Err(OwnerError::Padded));
    }
}
