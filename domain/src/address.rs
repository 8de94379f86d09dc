//! Where a copy of a content lies.

use std::{fmt, str::FromStr};

/// Why a string is not an address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an address of the form `<store>:<key>`")]
pub struct AddressError(String);

/// One physical copy of a content: a store's name and the key under which it has the bytes.
///
/// Written `<store>:<key>`. A key is never used for a second copy, so that removing an old copy
/// cannot meet a new one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Address {
    /// The name that the store has in the settings.
    pub store: String,
    /// The object's key within that store.
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
    fn an_address_names_a_store_and_a_key_that_may_have_colons() {
        let address: Address = "disk:3a/7/x:y".parse().unwrap();
        assert_eq!(
            (address.store.as_str(), address.key.as_str()),
            ("disk", "3a/7/x:y")
        );
        assert_eq!(address.to_string(), "disk:3a/7/x:y");
        for nonsense in ["", "disk", ":key", "disk:"] {
            assert!(nonsense.parse::<Address>().is_err(), "{nonsense:?}");
        }
    }
}
