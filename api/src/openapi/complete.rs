//! The parts of the contract that all operations of a kind share, and do not declare themselves.

use std::collections::BTreeMap;

use actix_web::http::StatusCode;
use domain::Scope;
use serde_json::json;
use utoipa::openapi::{
    Content, Header, HeaderBuilder, Ref, RefOr, Response, ResponseBuilder,
    example::ExampleBuilder,
    path::{Operation, Parameter, ParameterBuilder, ParameterIn},
    schema::{ObjectBuilder, Schema, SchemaType, Type},
};

use super::route::{Access, RequiredRole, access, has_tag, required_role, takes_bytes};
use crate::problem::{self, ProblemType};

/// Adds the shared parameters, responses and header fields to an operation.
pub(super) fn complete(operation: &mut Operation) {
    let (of_service, of_tus) = (has_tag(operation, "service"), has_tag(operation, "tus"));
    let is_offer = operation
        .operation_id
        .as_ref()
        .is_some_and(|id| id.starts_with("offer_"));
    if let Some(Access::Scoped(scope)) = access(operation) {
        complete_scoped(operation, scope);
    }
    if let Some(RequiredRole::Role(_)) = required_role(operation) {
        let misdirected = "`misdirected`: this process does not have the role of the operation";
        add_response(operation, "421", misdirected, &[]);
    }
    if operation.request_body.is_some() {
        let slow = "`too-slow`: the request body arrived too slowly";
        add_response(operation, "408", slow, &[]);
    }
    if !of_service && !is_offer {
        let responses = &mut operation.responses.responses;
        let internal = Response::new("`internal`: the service has logged the cause");
        responses.insert("500".to_owned(), internal.into());
        let unavailable = ResponseBuilder::new()
            .description("`unavailable`: the database or the store is temporarily unavailable")
            .header(
                "Retry-After",
                header("Seconds to wait before a retry", Type::Integer),
            );
        responses.insert("503".to_owned(), unavailable.build().into());
    }
    for parameter in operation.parameters.iter_mut().flatten() {
        if let RefOr::T(parameter) = parameter {
            forbid_null(parameter);
        }
    }
    for (status, response) in &mut operation.responses.responses {
        let RefOr::T(response) = response else {
            continue;
        };
        if status.starts_with(['4', '5']) {
            describe_problems(status, response);
        }
        if of_tus && !is_offer {
            let version = header("`1.0.0`", Type::String);
            let name = "Tus-Resumable".to_owned();
            response.headers.insert(name, version.clone().into());
            if status == "412" {
                let name = "Tus-Version".to_owned();
                response.headers.insert(name, version.into());
            }
        }
        let id = header(
            "Id of the request: the client's, or a new one",
            Type::String,
        );
        response
            .headers
            .insert("X-Request-Id".to_owned(), id.into());
    }
}

/// Adds the parameters and responses of all operations that need credentials.
fn complete_scoped(operation: &mut Operation, scope: Scope) {
    let challenge = ("WWW-Authenticate", "Required credentials (RFC 6750)");
    let unauthorized = "`missing-credentials` or `invalid-credentials`";
    add_response(operation, "401", unauthorized, &[challenge]);
    let forbidden = format!(
        "`insufficient-scope`: the credentials lack the scope `{scope}`, or, with `X-Owner`, the \
         scope `admin`; or `foreign-site`: without authentication, the request is for another host, or \
         comes from a page of another site"
    );
    add_response(operation, "403", &forbidden, &[challenge]);
    let limits = [
        ("Retry-After", "Seconds to wait before a retry"),
        ("RateLimit", "Remaining requests, if there is a rate limit"),
        (
            "RateLimit-Policy",
            "Permitted requests, if there is a rate limit",
        ),
    ];
    let busy = if takes_bytes(operation) {
        "`rate-limited`, or `too-many-uploads`: the owner has too many simultaneous uploads"
    } else {
        "`rate-limited`"
    };
    add_response(operation, "429", busy, &limits);
    add_response(
        operation,
        "400",
        "`invalid-header`: `X-Owner` is not a valid owner",
        &[],
    );
    let owner = ParameterBuilder::new()
        .name("X-Owner")
        .parameter_in(ParameterIn::Header)
        .description(Some(
            "Owner on whose behalf the request is made; requires the scope `admin`",
        ))
        .schema(Some(ObjectBuilder::new().schema_type(Type::String)));
    operation
        .parameters
        .get_or_insert_default()
        .push(owner.build().into());
}

/// Adds a response to an operation, or another meaning to a response that it has.
fn add_response(
    operation: &mut Operation,
    status: &str,
    description: &str,
    fields: &[(&str, &str)],
) {
    let responses = &mut operation.responses.responses;
    let response = responses
        .entry(status.to_owned())
        .or_insert_with(|| Response::new("").into());
    let RefOr::T(response) = response else {
        return;
    };
    if response.description.is_empty() {
        description.clone_into(&mut response.description);
    } else if !response.description.contains(description) {
        response.description = format!("{}; or {description}", response.description);
    }
    for (name, description) in fields {
        let field = header(description, Type::String);
        response
            .headers
            .entry((*name).to_owned())
            .or_insert_with(|| field.into());
    }
}

/// Removes null from the types of a parameter: an optional parameter is absent, never null.
fn forbid_null(parameter: &mut Parameter) {
    if let Some(RefOr::T(Schema::Object(schema))) = &mut parameter.schema
        && let SchemaType::Array(types) = &schema.schema_type
        && let Some(kind) = types.iter().find(|kind| **kind != Type::Null)
    {
        schema.schema_type = SchemaType::Type(kind.clone());
    }
}

/// Adds the problems that the description names to a response, as examples.
fn describe_problems(status: &str, response: &mut Response) {
    let examples: BTreeMap<String, _> = ProblemType::ALL
        .iter()
        .filter(|kind| response.description.contains(&format!("`{}`", kind.slug())))
        .map(|kind| {
            debug_assert_eq!(
                kind.status(),
                StatusCode::from_bytes(status.as_bytes()).unwrap_or_default()
            );
            let example = ExampleBuilder::new()
                .summary(kind.title())
                .value(Some(json!({
                    "type": kind.uri(),
                    "title": kind.title(),
                    "status": kind.status().as_u16(),
                    "detail": "An explanation of this occurrence",
                })));
            (kind.slug().to_owned(), RefOr::T(example.build()))
        })
        .collect();
    let mut content = Content::new(Some(RefOr::Ref(Ref::from_schema_name("Problem"))));
    content.examples = examples;
    response
        .content
        .insert(problem::MEDIA_TYPE.to_owned(), content.into());
}

fn header(description: &str, kind: Type) -> Header {
    HeaderBuilder::new()
        .schema(Some(ObjectBuilder::new().schema_type(kind)))
        .description(Some(description))
        .build()
}

/// The `HEAD` operation of a `GET`: the same responses without a body.
pub(super) fn head_of(get: &Operation) -> Operation {
    let mut head = get.clone();
    head.operation_id = get.operation_id.as_ref().map(|id| format!("{id}_head"));
    head.summary = get
        .summary
        .as_ref()
        .map(|summary| format!("{summary} (header only)"));
    head.description = Some("Responds as `GET` does, without the body.".to_owned());
    // `Range` applies to `GET` alone (RFC 9110 §14.2), and a header needs no redirect to the store.
    head.responses
        .responses
        .retain(|status, _| !matches!(status.as_str(), "206" | "307" | "416"));
    if let Some(parameters) = &mut head.parameters {
        parameters.retain(|parameter| match parameter {
            RefOr::T(parameter) => !matches!(parameter.name.as_str(), "Range" | "If-Range"),
            RefOr::Ref(_) => true,
        });
    }
    drop_bodies(&mut head);
    head
}

/// Removes the bodies of the responses, which `HEAD` does not have.
pub(super) fn drop_bodies(head: &mut Operation) {
    for response in head.responses.responses.values_mut() {
        if let RefOr::T(response) = response {
            response.content.clear();
        }
    }
}
