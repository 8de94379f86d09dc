//! The contract: what the handlers say about themselves, completed by what holds for all.
//!
//! A handler lists the problems that it answers with in the descriptions of their responses, as
//! `` `invalid-query` ``; their bodies, media types and examples are added here. So are the
//! answers that every operation of a kind can give, and a `HEAD` for every `GET`.

mod complete;
mod fields;
pub(crate) mod parameters;
pub(crate) mod responses;
mod route;

use std::{collections::BTreeSet, sync::Arc};

use actix_web::http::Method;
use utoipa::{
    Modify, OpenApi,
    openapi::{
        OpenApi as Document, RefOr,
        path::{Operation, PathItem},
        security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
    },
};

pub(crate) use self::route::{Access, ContractError, RequiredRole, Route};
use self::{
    complete::{complete, drop_bodies, head_of},
    route::BEARER,
};
use crate::problem::Problem;

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
pub(crate) struct Base;

/// Tells what credentials look like.
struct Credentials;

impl Modify for Credentials {
    fn modify(&self, openapi: &mut Document) {
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

/// The contract, as it is published, and the operations in it.
pub struct Contract {
    /// The contract as JSON.
    pub json: String,
    /// The contract as YAML.
    pub yaml: String,
    /// The header fields that responses may have.
    pub(crate) fields: BTreeSet<String>,
    routes: Vec<Arc<Route>>,
}

impl Contract {
    /// Builds the contract from what the handlers declare: completes it by what holds for all.
    ///
    /// # Errors
    ///
    /// If an operation lacks its scope or its role: a defect.
    pub(crate) fn new(declared: Document) -> Result<Self, ContractError> {
        let document = completed(declared);
        let paths = document.paths.paths.iter();
        let routes = paths.flat_map(|(template, item)| {
            let methods = methods(item).into_iter();
            methods.map(|(method, operation)| Route::new(template, method, operation).map(Arc::new))
        });
        Ok(Self {
            routes: routes.collect::<Result<_, _>>()?,
            json: document.to_json()?,
            yaml: document
                .to_yaml()
                .map_err(|error| ContractError::Yaml(error.to_string()))?,
            fields: fields(&document),
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

fn completed(mut document: Document) -> Document {
    for item in document.paths.paths.values_mut() {
        for operation in operations_mut(item) {
            complete(operation);
        }
        if let Some(get) = &item.get {
            item.head = Some(head_of(get));
        } else if let Some(head) = &mut item.head {
            drop_bodies(head);
        }
    }
    document
}

fn fields(document: &Document) -> BTreeSet<String> {
    let items = document.paths.paths.values();
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
