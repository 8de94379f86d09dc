//! `GET /readyz`

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use actix_web::{HttpResponse, route, web};
use futures_util::future::join_all;
use serde::Serialize;
use service::{FileService, ReplicaSetStatus, Stores};
use tokio::{sync::Mutex, time::timeout};
use utoipa::ToSchema;

use domain::ErrorChain;
use telemetry::Component;

use crate::{extract::query::NoQuery, problem::Problem, state::AppState};

/// Timeout of the database and of the primary store.
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);

/// Timeout of the other stores. It is shorter, since their failure does not make the service
/// unready.
const SECONDARY_PROBE_TIMEOUT: Duration = Duration::from_millis(500);

/// What clients hear of a database that cannot be used.
const UNAVAILABLE: &str = "the database is temporarily unavailable; try again";

/// Time for which the findings of a probe are reported.
const PROBE_INTERVAL: Duration = Duration::from_secs(1);

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
/// It probes the database and the stores, at most once in a second. A primary store that is full
/// leaves the service degraded. The database and the primary store, which receives
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
    let findings = state.readiness.findings(&state.service).await;
    if let Some((component, reason)) = &findings.unready {
        return Err(Problem::unready(*component, reason.clone()));
    }
    let status = if findings.trouble.is_empty() {
        "ok"
    } else {
        "degraded"
    };
    Ok(HttpResponse::Ok().json(Readiness {
        status,
        trouble: findings.trouble.clone(),
    }))
}

/// What the last probe found. A probe writes to the stores, and anybody may ask for it, so its findings
/// answer all requests of a second, and of the time that it takes.
#[derive(Default)]
pub(crate) struct ReadinessCache(Mutex<Option<(Instant, Arc<Findings>)>>);

/// What a probe found.
struct Findings {
    /// Why the service is not ready, if it is not.
    unready: Option<(Component, String)>,
    /// What has failed without making the service unready.
    trouble: Vec<String>,
}

impl ReadinessCache {
    async fn findings(&self, service: &FileService) -> Arc<Findings> {
        let mut last = self.0.lock().await;
        if let Some((at, findings)) = &*last
            && at.elapsed() < PROBE_INTERVAL
        {
            return Arc::clone(findings);
        }
        let findings = Arc::new(probe(service).await);
        *last = Some((Instant::now(), Arc::clone(&findings)));
        findings
    }
}

async fn probe(service: &FileService) -> Findings {
    let (database, store, mut trouble) = tokio::join!(
        timeout(PROBE_TIMEOUT, service.probe_database()),
        timeout(PROBE_TIMEOUT, service.probe_store()),
        failed_stores(service.stores()),
    );
    let name = service.stores().primary().name();
    trouble.extend(failed_servers(service.replica_set_status()));
    let mut unready = None;
    match store {
        Ok(Ok(())) => {}
        // Files can be read and deleted, so the service is of use.
        Ok(Err(service::Error::Store(storage::Error::Full(_)))) => {
            trouble.push(format!("the store {name} is full"));
        }
        Ok(Err(error)) => unready = Some((Component::Store, ErrorChain(&error).to_string())),
        Err(_) => {
            let late = format!("the store {name} does not answer in time");
            unready = Some((Component::Store, late));
        }
    }
    match database {
        Ok(Ok(())) => {}
        // The reason is for the log: it may name what clients should not know.
        Ok(Err(error)) => {
            tracing::error!(error = %ErrorChain(&error), "the database cannot be used");
            unready = Some((Component::Database, UNAVAILABLE.to_owned()));
        }
        Err(_) => {
            tracing::error!("the database does not answer in time");
            unready = Some((Component::Database, UNAVAILABLE.to_owned()));
        }
    }
    Findings { unready, trouble }
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
