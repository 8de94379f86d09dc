//! The operations of the contract, as the middleware needs them.

use domain::Scope;
use utoipa::openapi::{RefOr, path::Operation};

use crate::roles::Role;

/// The contract's extension that names the role of an operation, or `any`.
const ROLE: &str = "x-role";

/// The name of the security scheme.
pub(super) const BEARER: &str = "bearer";

/// The contract cannot be built: a defect of an operation's annotation.
#[derive(Debug, thiserror::Error)]
pub enum ContractError {
    /// An operation has no `security`, or one that is not understood.
    #[error("the operation {0} does not say which scope it needs")]
    Security(String),
    /// An operation has no `x-role`, or an unknown one.
    #[error("the operation {0} does not name the role that answers it")]
    Role(String),
    /// The contract cannot be written as JSON.
    #[error("could not write the contract as JSON")]
    Json(#[from] serde_json::Error),
    /// The contract cannot be written as YAML.
    #[error("could not write the contract as YAML: {0}")]
    Yaml(String),
}

/// An operation: its place and who may use it.
#[derive(Debug, Clone)]
pub(crate) struct Route {
    /// The operation's id.
    pub(crate) operation: String,
    /// Who may use it.
    pub(crate) access: Access,
    /// The processes that answer it.
    pub(crate) required_role: RequiredRole,
    /// Whether requests may have a body of any length.
    pub(crate) takes_bytes: bool,
    /// Whether requests appear in the audit log, because they need credentials or a link.
    pub(crate) is_audited: bool,
    /// The path, with the names of its parameters.
    pub(crate) template: String,
    pub(super) method: &'static str,
}

/// The callers that may use an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// Everybody.
    Open,
    /// Callers whose credentials have this scope.
    Scoped(Scope),
}

/// The processes that answer an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RequiredRole {
    /// All processes.
    Any,
    /// Processes with this role.
    Role(Role),
}

impl Route {
    /// # Errors
    ///
    /// If the operation names no scope or no role: a defect.
    pub(super) fn new(
        template: &str,
        method: &'static str,
        operation: &Operation,
    ) -> Result<Self, ContractError> {
        let id = operation.operation_id.clone().unwrap_or_default();
        let access = access(operation).ok_or_else(|| ContractError::Security(id.clone()))?;
        let required_role =
            required_role(operation).ok_or_else(|| ContractError::Role(id.clone()))?;
        Ok(Self {
            operation: id,
            access,
            required_role,
            takes_bytes: takes_bytes(operation),
            is_audited: access != Access::Open || has_tag(operation, "links"),
            template: template.to_owned(),
            method,
        })
    }
}

pub(super) fn has_tag(operation: &Operation, name: &str) -> bool {
    let tags = operation.tags.as_ref();
    tags.is_some_and(|tags| tags.iter().any(|tag| tag == name))
}

/// Returns whether the request body is a file, or a part of one.
pub(super) fn takes_bytes(operation: &Operation) -> bool {
    match &operation.request_body {
        Some(RefOr::T(body)) => !body.content.contains_key("application/json"),
        _ => false,
    }
}

/// The callers that may use an operation, from its `security`: `{}` alone, or one scope.
pub(super) fn access(operation: &Operation) -> Option<Access> {
    let requirements = serde_json::to_value(operation.security.as_ref()?).ok()?;
    let [requirement] = requirements.as_array()?.as_slice() else {
        return None;
    };
    let Some(scopes) = requirement.get(BEARER) else {
        let is_open = requirement.as_object()?.is_empty();
        return is_open.then_some(Access::Open);
    };
    match scopes.as_array()?.as_slice() {
        [scope] => scope.as_str()?.parse().ok().map(Access::Scoped),
        _ => None,
    }
}

/// The processes that answer an operation, from its `x-role`.
pub(super) fn required_role(operation: &Operation) -> Option<RequiredRole> {
    let role = operation.extensions.as_ref()?.get(ROLE)?.as_str()?;
    if role == "any" {
        return Some(RequiredRole::Any);
    }
    let mut roles = Role::ALL.into_iter();
    roles
        .find(|known| known.name() == role)
        .map(RequiredRole::Role)
}
