//! The identity behind a request.

use domain::{Owner, Scopes};

/// For whom a request is made, by whom, and what they may do.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    /// Who shows the credentials, as the audit log has it: `token:<id>`, `jwt:<subject>` or
    /// `anonymous`.
    pub(crate) actor: String,
    /// Whose files it is about.
    pub(crate) owner: Owner,
    /// What the credentials allow.
    pub(crate) scopes: Scopes,
}

impl Identity {
    /// The identity of every request where no credentials are accepted.
    pub(super) fn anonymous() -> Self {
        Self {
            actor: "anonymous".to_owned(),
            owner: Owner::anonymous(),
            scopes: Scopes::of_anonymous(),
        }
    }
}
