//! Addresses of copies of contents.

use std::{fmt, str::FromStr};

/// The error for a string that is not an address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an address of the form `<store>:<key>`")]
pub struct AddressError(String);

/// The address of one copy of a content: the name of a store and the key of the object there.
///
/// Written `<store>:<key>`. A key is never reused for another copy, so deleting an old copy cannot
/// delete a new one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Address {
    /// The store's name in the settings.
    pub store: String,
    /// The object's key within the store.
    pub key: String,
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        match text.split_once(':') {
            Some((store, key)) if !store.is_empty() && !key.is_empty() => Ok(Self {
                store: store.to_owned(),
                key: key.to_owned(),
            }),
            _ => Err(AddressError(text.to_owned())),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.store, self.key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_store_and_a_key_that_may_contain_colons() {
        let address: Address = "disk:3a/7/x:y".parse().unwrap();
        assert_eq!(
            (address.store.as_str(), address.key.as_str()),
            ("disk", "3a/7/x:y")
        );
        assert_eq!(address.to_string(), "disk:3a/7/x:y");
        for malformed in ["", "disk", ":key", "disk:"] {
            assert!(malformed.parse::<Address>().is_err(), "{malformed:?}");
        }
    }
}
