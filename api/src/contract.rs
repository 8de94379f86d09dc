//! The contract: what the handlers say about themselves, completed by what holds for all.
//!
//! A handler lists the problems that it answers with in the descriptions of their responses, as
//! `` `invalid-query` ``; their bodies, media types and examples are added here. So are the
//! answers that every operation of a kind can give, and a `HEAD` for every `GET`.

mod complete;

use std::{collections::BTreeSet, sync::Arc};

use actix_web::{App, http::Method};
use domain::Scope;
use utoipa::{
    Modify, OpenApi,
    openapi::{
        RefOr,
        path::{Operation, PathItem},
        security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
    },
};
use utoipa_actix_web::AppExt as _;

use self::complete::{complete, drop_bodies, head_of};
use crate::{problem::Problem, routes, settings::Role};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "fileserver",
        description = "Keeps one copy of each distinct content, named by its SHA-1, and gives it back fast and whole. \
            The same content under different names from different owners is one copy and many entries.\n\n\
            Problems come as `application/problem+json` (RFC 9457). \
            A request without good credentials gets 401, if the service asks for any; \
            what belongs to somebody else is 404, as if it were not there. \
            A wrong method gets 405 with `Allow`, an unknown URL 404. \
            Processes may have different roles: `x-role` tells which one an operation is for, and \
            a process that does not have it answers 421. \
            Every answer has an `X-Request-Id`: the request's, or a new one.",
    ),
    servers((url = "/")),
    tags(
        (name = "files", description = "The caller's files"),
        (name = "uploads", description = "Uploads that can be resumed, as Resumable Uploads for HTTP (draft-ietf-httpbis-resumable-upload): \
            `POST /files` or `PUT /files/{file_sha1}` with `Upload-Complete: ?0` begins one"),
        (name = "tus", description = "Uploads that can be resumed, by tus 1.0.0 (<https://tus.io>). \
            Every request but `OPTIONS` has to say `Tus-Resumable: 1.0.0`, and so does every answer; \
            `X-HTTP-Method-Override` comes before the method"),
        (name = "claims", description = "Proving to have a file instead of uploading it"),
        (name = "links", description = "Giving a file to somebody without credentials"),
        (name = "usage", description = "How much the caller has, and may have"),
        (name = "transfers", description = "Moving everything from one store to another, for admins"),
        (name = "service", description = "The service itself"),
    ),
    components(schemas(Problem)),
    modifiers(&Credentials),
)]
struct Base;

/// What tells which processes answer an operation: those with a role, or `any`.
const ROLE: &str = "x-role";

/// The name of the security scheme.
const BEARER: &str = "bearer";

/// Tells what credentials look like.
struct Credentials;

impl Modify for Credentials {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        let bearer = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .bearer_format("a token of the service's, or a JWT")
            .description(Some(
                "A token that `fileserver token create` made, or a JWT of the issuer that the \
                 service trusts (RFC 6750); whether it is needed is a setting. The scopes are \
                 `files:read`, `files:write`, `metrics:read`, and `admin`, with which `X-Owner` \
                 says for whom a request is made.",
            ));
        let components = openapi.components.get_or_insert_default();
        components.add_security_scheme(BEARER, SecurityScheme::Http(bearer.build()));
    }
}

/// The contract, ready to be given out.
pub(crate) struct Contract {
    pub(crate) json: String,
    pub(crate) yaml: String,
    /// The fields that answers may have.
    pub(crate) fields: BTreeSet<String>,
    routes: Vec<Arc<Route>>,
}

/// An operation, by where it is and who may use it.
#[derive(Debug, Clone)]
pub(crate) struct Route {
    /// Its id.
    pub(crate) operation: String,
    /// Who may use it.
    pub(crate) access: Access,
    /// Which processes answer it.
    pub(crate) answered: Answered,
    /// Whether its requests may have a body of any length.
    pub(crate) takes_bytes: bool,
    /// Whether its requests stand in the audit log: they need credentials, or a link.
    pub(crate) is_audited: bool,
    /// Its path, with the names of what varies in it.
    pub(crate) template: String,
    method: &'static str,
}

/// Who may use an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// Whoever reaches it.
    Open,
    /// Whoever has credentials with this scope, for an owner.
    Scoped(Scope),
}

/// Which processes answer an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answered {
    /// All.
    ByAll,
    /// Those that have this role.
    By(Role),
}

impl Contract {
    /// Collects the contract from the handlers.
    ///
    /// # Errors
    ///
    /// When it cannot be written down: a defect.
    pub(crate) fn new() -> Result<Self, Box<dyn std::error::Error>> {
        let openapi = collect();
        let paths = openapi.paths.paths.iter();
        let routes = paths.flat_map(|(template, item)| {
            let methods = methods(item).into_iter();
            methods.map(|(method, operation)| Route::new(template, method, operation).map(Arc::new))
        });
        let routes = routes.collect::<Result<_, _>>()?;
        Ok(Self {
            json: openapi.to_json()?,
            yaml: openapi.to_yaml()?,
            fields: fields(&openapi),
            routes,
        })
    }

    /// The methods that the resource at a path has; none if there is no such resource.
    pub(crate) fn methods_of(&self, path: &str) -> Vec<&str> {
        self.routes
            .iter()
            .filter(|route| fits(&route.template, path))
            .map(|route| route.method)
            .collect()
    }

    /// The operation that a method is at a path.
    pub(crate) fn route(&self, method: &Method, path: &str) -> Option<Arc<Route>> {
        self.routes
            .iter()
            .find(|route| route.method == method.as_str() && fits(&route.template, path))
            .cloned()
    }
}

impl Route {
    /// # Errors
    ///
    /// When the operation does not say who may use it, or which processes answer it: a defect.
    fn new(template: &str, method: &'static str, operation: &Operation) -> Result<Self, String> {
        let id = operation.operation_id.clone().unwrap_or_default();
        let access = access(operation).ok_or_else(|| format!("who may use {id}?"))?;
        let answered = answered(operation).ok_or_else(|| format!("which role is {id} for?"))?;
        Ok(Self {
            operation: id,
            access,
            answered,
            takes_bytes: takes_bytes(operation),
            is_audited: access != Access::Open || has_tag(operation, "links"),
            template: template.to_owned(),
            method,
        })
    }
}

fn has_tag(operation: &Operation, name: &str) -> bool {
    let tags = operation.tags.as_ref();
    tags.is_some_and(|tags| tags.iter().any(|tag| tag == name))
}

/// Whether an operation's requests have a body that is a file, or a part of one.
fn takes_bytes(operation: &Operation) -> bool {
    match &operation.request_body {
        Some(RefOr::T(body)) => !body.content.contains_key("application/json"),
        _ => false,
    }
}

/// Who may use an operation, as its `security` says: nothing but `{}`, or a scope.
fn access(operation: &Operation) -> Option<Access> {
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

/// Which processes answer an operation, as its `x-role` says: those with a role, or all.
fn answered(operation: &Operation) -> Option<Answered> {
    let said = operation.extensions.as_ref()?.get(ROLE)?.as_str()?;
    if said == "any" {
        return Some(Answered::ByAll);
    }
    let mut roles = [Role::Api, Role::Upload, Role::Download].into_iter();
    roles.find(|role| role.name() == said).map(Answered::By)
}

fn fits(template: &str, path: &str) -> bool {
    let (mut template, mut path) = (template.split('/'), path.split('/'));
    loop {
        match (template.next(), path.next()) {
            (None, None) => return true,
            (Some(expected), Some(found))
                if expected == found || expected.starts_with('{') && !found.is_empty() => {}
            _ => return false,
        }
    }
}

fn collect() -> utoipa::openapi::OpenApi {
    let (_, mut openapi) = App::new()
        .into_utoipa_app()
        .openapi(Base::openapi())
        .configure(routes::operations)
        .split_for_parts();
    for item in openapi.paths.paths.values_mut() {
        for operation in operations_mut(item) {
            complete(operation);
        }
        if let Some(get) = &item.get {
            item.head = Some(head_of(get));
        } else if let Some(head) = &mut item.head {
            drop_bodies(head);
        }
    }
    openapi
}

fn fields(openapi: &utoipa::openapi::OpenApi) -> BTreeSet<String> {
    let items = openapi.paths.paths.values();
    let operations = items.flat_map(methods).map(|(_, operation)| operation);
    let responses = operations.flat_map(|operation| operation.responses.responses.values());
    let headers = responses.filter_map(|response| match response {
        RefOr::T(response) => Some(response.headers.keys().cloned()),
        RefOr::Ref(_) => None,
    });
    headers.flatten().collect()
}

fn methods(item: &PathItem) -> Vec<(&'static str, &Operation)> {
    let all = [
        ("GET", &item.get),
        ("HEAD", &item.head),
        ("POST", &item.post),
        ("PUT", &item.put),
        ("PATCH", &item.patch),
        ("DELETE", &item.delete),
        ("OPTIONS", &item.options),
    ];
    all.into_iter()
        .filter_map(|(method, operation)| Some((method, operation.as_ref()?)))
        .collect()
}

fn operations_mut(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    [
        &mut item.get,
        &mut item.head,
        &mut item.post,
        &mut item.put,
        &mut item.patch,
        &mut item.delete,
        &mut item.options,
    ]
    .into_iter()
    .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problem;

    #[test]
    fn the_checked_in_contract_is_what_the_handlers_say() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../openapi.yaml");
        let checked_in = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            checked_in == Contract::new().unwrap().yaml,
            "openapi.yaml is stale: run `cargo run -- openapi > openapi.yaml`"
        );
    }

    #[test]
    fn every_operation_is_described_in_full() {
        let openapi = collect();
        let mut ids = Vec::new();
        for (path, item) in &openapi.paths.paths {
            for (method, operation) in methods(item) {
                let name = format!("{method} {path}");
                ids.push(operation.operation_id.clone().expect(&name));
                assert!(
                    operation.summary.is_some() && operation.tags.is_some(),
                    "{name}"
                );
                for (status, response) in &operation.responses.responses {
                    let RefOr::T(response) = response else {
                        panic!("{name}: {status} is described elsewhere");
                    };
                    let is_problem = status.starts_with(['4', '5']) && method != "HEAD";
                    let problem = response.content.get(problem::MEDIA_TYPE);
                    assert_eq!(problem.is_some(), is_problem, "{name}: {status}");
                    if let Some(RefOr::T(problem)) = problem {
                        assert!(!problem.examples.is_empty(), "{name}: {status}");
                    }
                }
            }
        }
        let all = ids.len();
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), all, "operation ids are unique");
    }

    #[test]
    fn a_resource_knows_its_methods() {
        let contract = Contract::new().unwrap();
        assert_eq!(
            contract.methods_of("/files"),
            ["GET", "HEAD", "POST", "OPTIONS"]
        );
        assert_eq!(
            contract.methods_of("/files/x"),
            ["GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS"]
        );
        assert_eq!(contract.methods_of("/files/x/content"), ["GET", "HEAD"]);
        assert!(contract.methods_of("/files/").is_empty());
        assert!(contract.methods_of("/nowhere").is_empty());
    }
}
