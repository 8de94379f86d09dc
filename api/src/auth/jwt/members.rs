//! JSON objects in which each member occurs once.

use std::fmt;

use serde::{
    Deserialize,
    de::{Deserializer, Error, MapAccess, Visitor},
};
use serde_json::{Map, Value};

use super::refusal::Refusal;

/// The members of a JSON object. Duplicates are refused (RFC 7515 §4, RFC 7519 §4), since two
/// parsers may disagree on which of them counts.
pub(super) struct Members(Map<String, Value>);

impl Members {
    pub(super) fn parse(json: &[u8]) -> Result<Self, Refusal> {
        serde_json::from_slice(json).map_err(|_| Refusal::Malformed)
    }

    pub(super) fn find(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// Returns a member that must be a string if it is present.
    pub(super) fn text(&self, name: &str) -> Result<Option<&str>, Refusal> {
        self.find(name)
            .map(|value| value.as_str().ok_or(Refusal::Malformed))
            .transpose()
    }
}

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(UniqueMembers)
    }
}

struct UniqueMembers;

impl<'de> Visitor<'de> for UniqueMembers {
    type Value = Members;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Members, A::Error> {
        let mut members = Map::new();
        while let Some((name, value)) = access.next_entry()? {
            if members.insert(name, value).is_some() {
                return Err(A::Error::custom("duplicate member"));
            }
        }
        Ok(Members(members))
    }
}
