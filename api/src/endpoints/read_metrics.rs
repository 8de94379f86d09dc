//! `GET /metrics`

use actix_web::{HttpResponse, route, web};
use telemetry::{Component, metrics};

use crate::{auth::Caller, extract::query::NoQuery, problem::Problem, state::AppState};

/// Metrics for Prometheus
#[utoipa::path(
    get,
    tag = "service",
    security(("bearer" = ["metrics:read"])),
    extensions(("x-role" = json!("any"))),
    responses(
        (status = 200, description = "The metrics in the text format of OpenMetrics", body = String, content_type = "application/openmetrics-text", example = json!("fileserver_uploads_total 1\n# EOF\n")),
        (status = 400, description = "`invalid-query`"),
        (status = 503, description = "`unavailable`", headers(
            ("Retry-After" = u32, description = "Seconds to wait before a retry"),
        )),
    ),
)]
#[route("/metrics", method = "GET", method = "HEAD")]
pub(crate) async fn read_metrics(
    _: Caller,
    _: NoQuery,
    state: web::Data<AppState>,
) -> Result<HttpResponse, Problem> {
    let metrics_text = state.metrics.encode().await;
    let metrics_text =
        metrics_text.map_err(|error| Problem::unavailable(Component::Service, &error))?;
    Ok(HttpResponse::Ok()
        .content_type(metrics::MEDIA_TYPE)
        .body(metrics_text))
}
