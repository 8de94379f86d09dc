//! The properties of operations that the middleware needs.

use domain::Scope;
use utoipa::openapi::{RefOr, path::Operation};

use crate::roles::Role;

/// The extension of the contract that names the role of an operation, or `any`.
const ROLE: &str = "x-role";

/// The name of the security scheme.
pub(super) const BEARER: &str = "bearer";

/// The contract cannot be built, because an operation has a defective annotation.
#[derive(Debug, thiserror::Error)]
pub enum ContractError {
    /// An operation has no `security`, or an unsupported one.
    #[error("operation {0} declares no scope")]
    Security(String),
    /// An operation has no `x-role`, or an unknown one.
    #[error("operation {0} declares no role")]
    Role(String),
    /// The contract could not be serialized as JSON.
    #[error("could not serialize the contract as JSON")]
    Json(#[from] serde_json::Error),
    /// The contract could not be serialized as YAML.
    #[error("could not serialize the contract as YAML: {0}")]
    Yaml(String),
}

/// An operation: its URL, its method, and the permitted callers.
#[derive(Debug, Clone)]
pub(crate) struct Route {
    /// The id of the operation.
    pub(crate) operation: String,
    /// The permitted callers.
    pub(crate) access: Access,
    /// The processes that serve it.
    pub(crate) required_role: RequiredRole,
    /// True if the request body may have any length.
    pub(crate) takes_bytes: bool,
    /// The media types of the request body.
    pub(crate) media_types: Vec<String>,
    /// True if requests appear in the audit log, because they need credentials or a link.
    pub(crate) is_audited: bool,
    /// The path, with the names of its parameters.
    pub(crate) template: String,
    pub(super) method: &'static str,
}

/// The callers that may use an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// All callers.
    Open,
    /// Callers whose credentials have this scope.
    Scoped(Scope),
}

/// The processes that serve an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RequiredRole {
    /// All processes.
    Any,
    /// Processes with this role.
    Role(Role),
}

impl Route {
    /// Reads the properties of an operation.
    ///
    /// # Errors
    ///
    /// If the operation declares no scope or no role, which is a defect.
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
            media_types: media_types(operation),
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

/// The media types of the request body.
fn media_types(operation: &Operation) -> Vec<String> {
    match &operation.request_body {
        Some(RefOr::T(body)) => body.content.keys().cloned().collect(),
        _ => Vec::new(),
    }
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

/// The processes that serve an operation, from its `x-role`.
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
