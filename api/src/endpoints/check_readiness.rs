//! `GET /readyz`

use std::time::Duration;

use actix_web::{HttpResponse, route, web};
use futures_util::future::join_all;
use serde::Serialize;
use service::{ReplicaSetStatus, Stores};
use tokio::time::timeout;
use utoipa::ToSchema;

use domain::ErrorChain;
use telemetry::Component;

use crate::{extract::query::NoQuery, problem::Problem, state::AppState};

/// Timeout of the database and of the primary store.
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);

/// Timeout of the other stores. It is shorter, since their failure does not make the service
/// unready.
const SECONDARY_PROBE_TIMEOUT: Duration = Duration::from_millis(500);

/// Readiness of the service.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"status": "degraded", "trouble": ["the store oss does not answer in time"]}))]
pub(crate) struct Readiness {
    /// `ok`, or `degraded` if a store other than the primary one, or one of several database
    /// servers, has failed
    status: &'static str,
    /// The failed stores and database servers, with the reason
    #[serde(skip_serializing_if = "Vec::is_empty")]
    trouble: Vec<String>,
}

/// Readiness check
///
/// It probes the database and the stores. The database and the primary store, which receives
/// uploads, are required. While another store is unavailable, files that only it has cannot be
/// read. While none of several database servers accepts writes, nothing can be changed.
#[utoipa::path(
    get,
    tag = "service",
    security(()),
    extensions(("x-role" = json!("any"))),
    responses(
        (status = 200, description = "The service is ready, or degraded", body = Readiness),
        (status = 400, description = "`invalid-query`"),
        (status = 503, description = "`unavailable`: the database or the primary store is unavailable, with the name of the store and the reason; or the service is shutting down", headers(
            ("Retry-After" = u32, description = "Seconds to wait before a retry"),
        )),
        (status = 507, description = "`storage-full`: the primary store is full"),
    ),
)]
#[route("/readyz", method = "GET", method = "HEAD")]
pub(crate) async fn check_readiness(
    _: NoQuery,
    state: web::Data<AppState>,
) -> Result<HttpResponse, Problem> {
    if state.shutdown.is_draining() {
        return Err(Problem::stopping());
    }
    let service = &state.service;
    let (database, store, mut failures) = tokio::join!(
        timeout(PROBE_TIMEOUT, service.probe_database()),
        timeout(PROBE_TIMEOUT, service.probe_store()),
        failed_stores(service.stores()),
    );
    database.map_err(|late| Problem::unavailable(Component::Database, &late))??;
    let name = service.stores().primary().name();
    let store = store.map_err(|_| format!("the store {name} does not answer in time"));
    match store {
        Ok(Ok(())) => {}
        // A full store has a problem type of its own.
        Ok(Err(error @ service::Error::Store(storage::Error::Full(_)))) => return Err(error.into()),
        Ok(Err(error)) => return Err(Problem::unready(ErrorChain(&error).to_string())),
        Err(late) => return Err(Problem::unready(late)),
    }
    failures.extend(failed_servers(service.replica_set_status()));
    let status = if failures.is_empty() {
        "ok"
    } else {
        "degraded"
    };
    Ok(HttpResponse::Ok().json(Readiness {
        status,
        trouble: failures,
    }))
}

/// The failures of the stores other than the primary one.
async fn failed_stores(stores: &Stores) -> Vec<String> {
    let primary = stores.primary().name();
    let others = stores.iter().filter(|store| store.name() != primary);
    let probed = others.map(async |store| {
        let late = || format!("the store {} does not answer in time", store.name());
        let probed = timeout(SECONDARY_PROBE_TIMEOUT, store.probe()).await;
        probed.map_or_else(
            |_| Some(late()),
            |probed| probed.err().map(|error| ErrorChain(&error).to_string()),
        )
    });
    join_all(probed).await.into_iter().flatten().collect()
}

/// The failures of the database servers, if there are several.
fn failed_servers(servers: Option<ReplicaSetStatus>) -> Vec<String> {
    let servers = servers.map(|status| status.servers).unwrap_or_default();
    let mut failures: Vec<String> = servers
        .iter()
        .filter(|server| !server.is_readable)
        .map(|server| {
            let failure = if server.is_reachable {
                "is behind"
            } else {
                "does not answer"
            };
            format!("the database server {} {failure}", server.name)
        })
        .collect();
    if !servers.is_empty() && !servers.iter().any(|server| server.is_primary) {
        failures.push("no database server takes writes".to_owned());
    }
    failures
}
