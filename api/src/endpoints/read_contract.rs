//! `GET /openapi.json` and `GET /openapi.yaml`

use actix_web::{HttpRequest, HttpResponse, http::header::EntityTag, route, web};

use crate::{extract::query::NoQuery, openapi::Contract, problem::Problem, response::revalidated};

/// This contract as JSON
#[utoipa::path(
    get,
    tag = "service",
    security(()),
    extensions(("x-role" = json!("any"))),
    responses(
        (status = 200, description = "This contract", body = Object, content_type = "application/json", headers(
            ("ETag" = String, description = "Version of the contract"),
            ("Cache-Control" = String, description = "`no-cache`"),
        ), example = json!({"openapi": "3.1.0"})),
        (status = 304, description = "The client already has this contract", headers(
            ("ETag" = String, description = "Version of the contract"),
            ("Cache-Control" = String, description = "`no-cache`"),
        )),
        (status = 400, description = "`invalid-query`"),
    ),
)]
#[route("/openapi.json", method = "GET", method = "HEAD")]
pub(crate) async fn read_contract_json(
    _: NoQuery,
    request: HttpRequest,
    contract: web::Data<Contract>,
) -> Result<HttpResponse, Problem> {
    let [tag, _] = &contract.tags;
    Ok(answer(&request, tag, "application/json", &contract.json))
}

/// This contract as YAML
#[utoipa::path(
    get,
    tag = "service",
    security(()),
    extensions(("x-role" = json!("any"))),
    responses(
        (status = 200, description = "This contract", body = Object, content_type = "application/yaml", headers(
            ("ETag" = String, description = "Version of the contract"),
            ("Cache-Control" = String, description = "`no-cache`"),
        ), example = json!({"openapi": "3.1.0"})),
        (status = 304, description = "The client already has this contract", headers(
            ("ETag" = String, description = "Version of the contract"),
            ("Cache-Control" = String, description = "`no-cache`"),
        )),
        (status = 400, description = "`invalid-query`"),
    ),
)]
#[route("/openapi.yaml", method = "GET", method = "HEAD")]
pub(crate) async fn read_contract_yaml(
    _: NoQuery,
    request: HttpRequest,
    contract: web::Data<Contract>,
) -> Result<HttpResponse, Problem> {
    let [_, tag] = &contract.tags;
    Ok(answer(&request, tag, "application/yaml", &contract.yaml))
}

fn answer(request: &HttpRequest, tag: &EntityTag, media_type: &str, text: &str) -> HttpResponse {
    let (mut response, is_known) = revalidated(request, tag.clone());
    if is_known {
        return response.finish();
    }
    response.content_type(media_type).body(text.to_owned())
}
