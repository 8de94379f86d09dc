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

/// How long what the service needs may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long the other stores may take: whoever asks is not to wait for what is no reason to send
/// nobody here.
const PATIENCE_WITH_OTHERS: Duration = Duration::from_millis(500);

/// What the service can do.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"status": "degraded", "trouble": ["the store oss does not answer in time"]}))]
pub(crate) struct Readiness {
    /// `ok`, or `degraded` if a store does not work that is not the primary one, or a database
    /// server of several
    status: &'static str,
    /// Which do not work, and why
    #[serde(skip_serializing_if = "Vec::is_empty")]
    trouble: Vec<String>,
}

/// Tells whether the service can do its work
///
/// It asks the database and the stores. What is needed for everything is the database and the store
/// that takes what is uploaded; without another store, what lies only there cannot be read. While
/// none of several database servers takes writes, nothing can be changed.
#[utoipa::path(
    get,
    tag = "service",
    security(()),
    extensions(("x-role" = json!("any"))),
    responses(
        (status = 200, description = "It can, or most of it", body = Readiness),
        (status = 400, description = "`invalid-query`"),
        (status = 503, description = "`unavailable`: the database or the store does not answer; which store, and why; or the service is stopping", headers(
            ("Retry-After" = u32, description = "How many seconds to wait"),
        )),
        (status = 507, description = "`storage-full`: the store takes no more files"),
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
    let (database, store, mut trouble) = tokio::join!(
        timeout(PATIENCE, service.probe_database()),
        timeout(PATIENCE, service.probe_store()),
        trouble_with_others(service.stores()),
    );
    database.map_err(|late| Problem::unavailable(Component::Database, &late))??;
    let name = service.stores().primary().name();
    let store = store.map_err(|_| format!("the store {name} does not answer in time"));
    match store {
        Ok(Ok(())) => {}
        // the service tells a full store from one that fails.
        Ok(Err(error @ service::Error::Store(storage::Error::Full(_)))) => return Err(error.into()),
        Ok(Err(error)) => return Err(Problem::unready(ErrorChain(&error).to_string())),
        Err(late) => return Err(Problem::unready(late)),
    }
    trouble.extend(trouble_with_servers(service.replica_set_status()));
    let status = if trouble.is_empty() { "ok" } else { "degraded" };
    Ok(HttpResponse::Ok().json(Readiness { status, trouble }))
}

/// Which stores do not work, of those that are not the primary one.
async fn trouble_with_others(stores: &Stores) -> Vec<String> {
    let primary = stores.primary().name();
    let others = stores.iter().filter(|store| store.name() != primary);
    let probed = others.map(async |store| {
        let late = || format!("the store {} does not answer in time", store.name());
        let probed = timeout(PATIENCE_WITH_OTHERS, store.probe()).await;
        probed.map_or_else(
            |_| Some(late()),
            |probed| probed.err().map(|error| ErrorChain(&error).to_string()),
        )
    });
    join_all(probed).await.into_iter().flatten().collect()
}

/// Which of several database servers cannot be used.
fn trouble_with_servers(servers: Option<ReplicaSetStatus>) -> Vec<String> {
    let servers = servers.map(|status| status.servers).unwrap_or_default();
    let mut trouble: Vec<String> = servers
        .iter()
        .filter(|server| !server.is_readable)
        .map(|server| {
            let trouble = if server.is_reachable {
                "is behind"
            } else {
                "does not answer"
            };
            format!("the database server {} {trouble}", server.name)
        })
        .collect();
    if !servers.is_empty() && !servers.iter().any(|server| server.is_primary) {
        trouble.push("no database server takes writes".to_owned());
    }
    trouble
}
