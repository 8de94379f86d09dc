//! `GET /readyz`

use std::time::Duration;

use actix_web::{HttpResponse, route, web};
use tokio::time::timeout;

use super::check_health::Health;
use crate::{
    http::query::NoQuery,
    problem::{Causes, Fault, Problem},
    service::Service,
};

/// How long what the service needs may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// Tells whether the service can do its work
///
/// It asks the database, and the store that takes what is uploaded.
#[utoipa::path(
    get,
    tag = "service",
    security(()),
    responses(
        (status = 200, description = "It can", body = Health),
        (status = 400, description = "`invalid-query`"),
        (status = 503, description = "`unavailable`: the database or the store does not answer; which store, and why", headers(
            ("Retry-After" = u32, description = "How many seconds to wait"),
        )),
        (status = 507, description = "`storage-full`: the store takes no more files"),
    ),
)]
#[route("/readyz", method = "GET", method = "HEAD")]
pub(crate) async fn check_readiness(
    _: NoQuery,
    service: web::Data<Service>,
) -> Result<HttpResponse, Problem> {
    let catalog = &service.catalog;
    let (database, store) = tokio::join!(
        timeout(PATIENCE, catalog.probe_database()),
        timeout(PATIENCE, catalog.probe_store()),
    );
    database.map_err(|late| Problem::unavailable(Fault::Database, &late))??;
    let name = catalog.stores().primary().name();
    let store = store.map_err(|_| format!("the store {name} does not answer in time"));
    match store {
        Ok(Ok(())) => {}
        // The catalogue tells a full store from one that fails.
        Ok(Err(error @ catalog::Error::Store(storage::Error::Full(_)))) => return Err(error.into()),
        Ok(Err(error)) => return Err(Problem::unready(Causes(&error).to_string())),
        Err(late) => return Err(Problem::unready(late)),
    }
    Ok(HttpResponse::Ok().json(Health { status: "ok" }))
}
