//! Scopes: the permissions of credentials.

use std::{fmt, str::FromStr};

/// The error for a string that is not a scope.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not one of files:read, files:write, metrics:read and admin")]
pub struct ScopeError(String);

/// A permission of credentials.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// To find, list and download files.
    FilesRead,
    /// To upload, claim, change, delete and share files.
    FilesWrite,
    /// To read the service's metrics, which cover all owners together.
    MetricsRead,
    /// To act for any owner, within the other scopes.
    Admin,
}

/// A set of permissions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Scopes(u8);

impl Scope {
    /// All scopes.
    pub const ALL: [Self; 4] = [
        Self::FilesRead,
        Self::FilesWrite,
        Self::MetricsRead,
        Self::Admin,
    ];

    /// The scope's name in credentials and in the contract.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::FilesRead => "files:read",
            Self::FilesWrite => "files:write",
            Self::MetricsRead => "metrics:read",
            Self::Admin => "admin",
        }
    }

    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

impl FromStr for Scope {
    type Err = ScopeError;

    fn from_str(name: &str) -> Result<Self, ScopeError> {
        let found = Self::ALL.into_iter().find(|scope| scope.name() == name);
        found.ok_or_else(|| ScopeError(name.to_owned()))
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Scopes {
    /// The permissions of requests while the service requires no credentials: all except acting for
    /// other owners.
    #[must_use]
    pub fn of_anonymous() -> Self {
        [Scope::FilesRead, Scope::FilesWrite, Scope::MetricsRead]
            .into_iter()
            .collect()
    }

    /// True if the set contains a scope.
    #[must_use]
    pub fn allow(self, scope: Scope) -> bool {
        self.0 & scope.bit() != 0
    }

    /// True if the set is empty.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl FromIterator<Scope> for Scopes {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        Self(scopes.into_iter().fold(0, |bits, scope| bits | scope.bit()))
    }
}

impl FromStr for Scopes {
    type Err = ScopeError;

    /// Reads scopes separated by spaces (RFC 6749 §3.3).
    fn from_str(scopes: &str) -> Result<Self, ScopeError> {
        scopes.split_ascii_whitespace().map(str::parse).collect()
    }
}

impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let allowed = Scope::ALL.into_iter().filter(|scope| self.allow(*scope));
        let names: Vec<&str> = allowed.map(Scope::name).collect();
        f.write_str(&names.join(" "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_round_trip() {
        let scopes: Scopes = "admin files:read".parse().unwrap();
        assert!(scopes.allow(Scope::Admin) && scopes.allow(Scope::FilesRead));
        assert!(!scopes.allow(Scope::FilesWrite) && !scopes.allow(Scope::MetricsRead));
        assert_eq!(scopes.to_string(), "files:read admin");
        assert_eq!(scopes.to_string().parse(), Ok(scopes));
        assert!("".parse::<Scopes>().unwrap().is_empty());
        assert!("files:read files:*".parse::<Scopes>().is_err());
        assert!(!Scopes::of_anonymous().allow(Scope::Admin));
    }
}
