//! Accounts: the usage of an owner, and the owner's own quota.

use crate::{Owner, Quota, Usage};

/// An owner's usage and own quota.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Account {
    /// The usage of the owner.
    pub usage: Usage,
    /// The limits that replace the default quota.
    pub own: OwnQuota,
}

/// The limits of one owner that replace those of the default quota; `None` replaces nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OwnQuota {
    /// The total size of all files in bytes.
    pub bytes: Option<Limit>,
    /// The number of files.
    pub files: Option<Limit>,
    /// The number of running uploads.
    pub uploads: Option<Limit>,
}

/// A limit of one owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// At most this many.
    AtMost(u64),
    /// No limit.
    Unlimited,
}

/// A usage count that differs from the owner's entries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Miscount {
    /// The owner.
    pub owner: Owner,
    /// The recorded number of bytes and of files.
    pub counted: (i64, i64),
    /// The number of bytes and of files of the owner's entries.
    pub found: (i64, i64),
}

impl OwnQuota {
    /// The owner's quota: `default`, with the owner's own limits in place of its limits.
    #[must_use]
    pub fn over(&self, default: &Quota) -> Quota {
        let choose = |own: Option<Limit>, default| match own {
            None => default,
            Some(Limit::AtMost(max)) => Some(max),
            Some(Limit::Unlimited) => None,
        };
        Quota {
            bytes: choose(self.bytes, default.bytes),
            files: choose(self.files, default.files),
            uploads: choose(self.uploads, default.uploads),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owner_has_the_default_where_they_have_no_limit_of_their_own() {
        let default = Quota {
            bytes: Some(1),
            files: Some(2),
            uploads: Some(3),
        };
        assert_eq!(OwnQuota::default().over(&default), default);
        let own = OwnQuota {
            bytes: Some(Limit::AtMost(9)),
            files: Some(Limit::Unlimited),
            uploads: None,
        };
        let quota = own.over(&default);
        assert_eq!(
            (quota.bytes, quota.files, quota.uploads),
            (Some(9), None, Some(3))
        );
    }
}
