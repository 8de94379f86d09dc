//! The identity behind a request.

use domain::{Owner, Scopes};

/// The caller of a request, the owner whom it concerns, and the scopes of the credentials.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    /// The caller, as the audit log names it: `token:<id>`, `jwt:<subject>` or `anonymous`.
    pub(crate) actor: String,
    /// The owner of the files.
    pub(crate) owner: Owner,
    /// The scopes of the credentials.
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
