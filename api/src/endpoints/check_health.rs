//! `GET /healthz`

use actix_web::{HttpResponse, route};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{extract::query::NoQuery, problem::Problem};

/// A sign of life.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"status": "ok"}))]
pub(crate) struct Health {
    /// `ok`
    status: &'static str,
}

/// Tells that the service runs
///
/// It says nothing about what the service needs; for that see `/readyz`.
#[utoipa::path(
    get,
    tag = "service",
    security(()),
    extensions(("x-role" = json!("any"))),
    responses(
        (status = 200, description = "It runs", body = Health),
        (status = 400, description = "`invalid-query`"),
    ),
)]
#[route("/healthz", method = "GET", method = "HEAD")]
pub(crate) async fn check_health(_: NoQuery) -> Result<HttpResponse, Problem> {
    Ok(HttpResponse::Ok().json(Health { status: "ok" }))
}
