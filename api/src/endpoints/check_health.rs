//! `GET /healthz`

use actix_web::{HttpResponse, route};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{extract::query::NoQuery, problem::Problem};

/// Liveness of the process.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"status": "ok"}))]
pub(crate) struct Health {
    /// `ok`
    status: &'static str,
}

/// Liveness check
///
/// It does not check the dependencies of the service; `/readyz` does.
#[utoipa::path(
    get,
    tag = "service",
    security(()),
    extensions(("x-role" = json!("any"))),
    responses(
        (status = 200, description = "The service is running", body = Health),
        (status = 400, description = "`invalid-query`"),
    ),
)]
#[route("/healthz", method = "GET", method = "HEAD")]
pub(crate) async fn check_health(_: NoQuery) -> Result<HttpResponse, Problem> {
    Ok(HttpResponse::Ok().json(Health { status: "ok" }))
}
