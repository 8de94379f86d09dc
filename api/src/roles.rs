//! The roles of a process: the kinds of requests that it answers.

use std::collections::HashSet;

/// A kind of request that a process can answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// Requests about files.
    Api,
    /// Requests that upload a file.
    Upload,
    /// Requests that download a file.
    Download,
}

impl Role {
    /// Every role.
    pub(crate) const ALL: [Self; 3] = [Self::Api, Self::Upload, Self::Download];

    /// The name of the role in the contract's `x-role`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::Upload => "upload",
            Self::Download => "download",
        }
    }
}

/// The roles of a process; without any it answers only requests about itself.
#[derive(Debug, Clone, Default)]
pub struct Roles(HashSet<Role>);

impl Roles {
    /// Returns whether the process has a role.
    pub(crate) fn has(&self, role: Role) -> bool {
        self.0.contains(&role)
    }

    /// Returns whether the process answers requests other than those about itself.
    pub(crate) fn is_any(&self) -> bool {
        !self.0.is_empty()
    }
}

impl FromIterator<Role> for Roles {
    fn from_iter<T: IntoIterator<Item = Role>>(roles: T) -> Self {
        Self(roles.into_iter().collect())
    }
}
