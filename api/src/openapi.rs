//! The contract: the declarations of the handlers, completed by the parts that all share.
//!
//! A handler names its problems in the descriptions of their responses, as `` `invalid-query` ``;
//! their bodies, media types and examples are added here. So are the responses that all operations
//! of a kind have, and a `HEAD` for every `GET`.

mod complete;
mod fields;
pub(crate) mod parameters;
pub(crate) mod responses;
mod route;

use std::{collections::BTreeSet, sync::Arc};

use actix_web::http::{Method, header::EntityTag};
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
use crate::{headers::conditional::Validators, problem::Problem};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "fileserver",
        description = "Stores one copy of each distinct content, named by its SHA-1, and serves it fast and intact. \
            The same content under different names or of different owners is one copy with many entries.\n\n\
            Problems have the media type `application/problem+json` (RFC 9457). \
            If the service requires credentials, a request without valid ones gets 401. \
            Resources of other owners get 404, as if they did not exist. \
            An unsupported method gets 405 with `Allow`, an unknown URL 404. \
            Processes may have different roles: `x-role` names the role that an operation needs, and \
            a process without it responds with 421. \
            Every response has an `X-Request-Id`: that of the request, or a new one. \
            Every response has a `Cache-Control`, which is `no-store` unless an operation says otherwise; \
            what depends on the caller has `Vary: Authorization, X-Owner` and \
            `Cross-Origin-Resource-Policy: same-origin`.",
    ),
    servers((url = "/")),
    tags(
        (name = "files", description = "Files of the caller"),
        (name = "uploads", description = "Resumable Uploads for HTTP (draft-ietf-httpbis-resumable-upload): \
            `POST /files` or `PUT /files/{file_sha1}` with `Upload-Complete: ?0` creates an upload"),
        (name = "tus", description = "Resumable uploads by tus 1.0.0 (<https://tus.io>). \
            Every request except `OPTIONS` needs `Tus-Resumable: 1.0.0`, and every response has it; \
            `X-HTTP-Method-Override` takes precedence over the method"),
        (name = "claims", description = "Proof of possession instead of an upload"),
        (name = "links", description = "Links for downloads without credentials"),
        (name = "usage", description = "Usage and quota of the caller"),
        (name = "transfers", description = "Transfers of all files from one store to another, for admins"),
        (name = "service", description = "The service itself"),
    ),
    components(schemas(Problem)),
    modifiers(&Credentials),
)]
pub(crate) struct Base;

/// Adds the security scheme.
struct Credentials;

impl Modify for Credentials {
    fn modify(&self, openapi: &mut Document) {
        let bearer = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .bearer_format("a token of the service, or a JWT")
            .description(Some(
                "A token from `fileserver token create`, or a JWT of the issuer that the service \
                 trusts (RFC 6750); a setting decides whether it is required. The scopes are \
                 `files:read`, `files:write`, `metrics:read`, and `admin`, which permits requests \
                 on behalf of the owner in `X-Owner`.",
            ));
        let components = openapi.components.get_or_insert_default();
        components.add_security_scheme(BEARER, SecurityScheme::Http(bearer.build()));
    }
}

/// The published contract and its operations.
pub struct Contract {
    /// The contract as JSON.
    pub json: String,
    /// The contract as YAML.
    pub yaml: String,
    /// The entity tags of the two.
    pub(crate) tags: [EntityTag; 2],
    /// The names of all header fields of responses.
    pub(crate) fields: BTreeSet<String>,
    routes: Vec<Arc<Route>>,
}

impl Contract {
    /// Completes the declarations of the handlers to the contract.
    ///
    /// # Errors
    ///
    /// If an operation declares no scope or no role, which is a defect.
    pub(crate) fn new(declared: Document) -> Result<Self, ContractError> {
        let document = completed(declared);
        let paths = document.paths.paths.iter();
        let routes = paths.flat_map(|(template, item)| {
            let methods = methods(item).into_iter();
            methods.map(|(method, operation)| Route::new(template, method, operation).map(Arc::new))
        });
        let routes = routes.collect::<Result<_, _>>()?;
        let json = document.to_json()?;
        let yaml = document
            .to_yaml()
            .map_err(|error| ContractError::Yaml(error.to_string()))?;
        Ok(Self {
            routes,
            tags: [&json, &yaml].map(|text| Validators::of_bytes(text.as_bytes()).etag),
            json,
            yaml,
            fields: fields(&document),
        })
    }

    /// The methods of the resource at a path; none if there is no such resource.
    pub(crate) fn methods_of(&self, path: &str) -> Vec<&str> {
        self.routes
            .iter()
            .filter(|route| matches_template(&route.template, path))
            .map(|route| route.method)
            .collect()
    }

    /// Finds the operation of a method at a path.
    pub(crate) fn route(&self, method: &Method, path: &str) -> Option<Arc<Route>> {
        self.routes
            .iter()
            .find(|route| {
                route.method == method.as_str() && matches_template(&route.template, path)
            })
            .cloned()
    }
}

/// Returns whether a path matches a template, segment by segment.
fn matches_template(template: &str, path: &str) -> bool {
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

/// The fields of all responses, which the operations do not repeat.
const EVERYWHERE: [&str; 6] = [
    "Accept",
    "Accept-Encoding",
    "Accept-Patch",
    "Allow",
    "Cache-Control",
    "Cross-Origin-Resource-Policy",
];

fn fields(document: &Document) -> BTreeSet<String> {
    let items = document.paths.paths.values();
    let operations = items.flat_map(methods).map(|(_, operation)| operation);
    let responses = operations.flat_map(|operation| operation.responses.responses.values());
    let headers = responses.filter_map(|response| match response {
        RefOr::T(response) => Some(response.headers.keys().cloned()),
        RefOr::Ref(_) => None,
    });
    headers
        .flatten()
        .chain(EVERYWHERE.map(str::to_owned))
        .collect()
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
