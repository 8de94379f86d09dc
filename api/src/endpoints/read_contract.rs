//! `GET /openapi.json` and `GET /openapi.yaml`

use actix_web::{HttpResponse, route, web};

use crate::{extract::query::NoQuery, openapi::Contract, problem::Problem};

/// This contract as JSON
#[utoipa::path(
    get,
    tag = "service",
    security(()),
    extensions(("x-role" = json!("any"))),
    responses(
        (status = 200, description = "This contract", body = Object, content_type = "application/json", example = json!({"openapi": "3.1.0"})),
        (status = 400, description = "`invalid-query`"),
    ),
)]
#[route("/openapi.json", method = "GET", method = "HEAD")]
pub(crate) async fn read_contract_json(
    _: NoQuery,
    contract: web::Data<Contract>,
) -> Result<HttpResponse, Problem> {
    Ok(HttpResponse::Ok()
        .content_type("application/json")
        .body(contract.json.clone()))
}

/// This contract as YAML
#[utoipa::path(
    get,
    tag = "service",
    security(()),
    extensions(("x-role" = json!("any"))),
    responses(
        (status = 200, description = "This contract", body = Object, content_type = "application/yaml", example = json!({"openapi": "3.1.0"})),
        (status = 400, description = "`invalid-query`"),
    ),
)]
#[route("/openapi.yaml", method = "GET", method = "HEAD")]
pub(crate) async fn read_contract_yaml(
    _: NoQuery,
    contract: web::Data<Contract>,
) -> Result<HttpResponse, Problem> {
    Ok(HttpResponse::Ok()
        .content_type("application/yaml")
        .body(contract.yaml.clone()))
}
