//! `fileserver serve`: runs the service.

use std::{collections::BTreeSet, net::SocketAddr, process::ExitCode, time::Duration};

use actix_cors::Cors;
use actix_web::{
    App, HttpServer,
    dev::ServerHandle,
    middleware::{Condition, from_fn},
    web::{self, Data},
};
use catalog::Catalog;
use utoipa_actix_web::AppExt as _;

use super::{Failure, Signals, fail, log, open_catalog};
use crate::{
    admission::{self, Admission, KEYS_EVERY, Pace, Slots, Turnover},
    auth::{Authenticator, jwt::JwtVerifier},
    connections::Connections,
    contract::Contract,
    http::tus,
    metrics::Metrics,
    observe::Observer,
    problem::Causes,
    routes,
    service::Service,
    settings::Settings,
    worker::{Worker, sweep_disks},
};

/// How long a connection is kept on which nothing is asked: longer than nginx keeps it, which would
/// otherwise use one that is just being closed.
const KEEP_ALIVE: Duration = Duration::from_secs(30);

#[actix_web::main]
pub(crate) async fn run(settings: &Settings) -> ExitCode {
    match serve(settings).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => fail(&failure),
    }
}

async fn serve(settings: &Settings) -> Result<(), Failure> {
    settings.refuse_open_door().map_err(Failure)?;
    log(settings)?;
    let catalog = open_catalog(settings).await?;
    sweep_disks(&catalog).await;
    actix_web::rt::spawn(tell_of_stores(catalog.clone()));
    let metrics = Metrics::new(&catalog);
    let worker = Worker::new(settings, catalog.clone(), metrics.copies.clone());
    let worker = worker.map_err(Failure)?;
    let working = (!settings.transfers.no_worker).then(|| worker.start());

    let admission = Data::new(admission(settings, catalog.clone()).await?);
    let refreshing = actix_web::rt::spawn(keep_fresh(admission.clone()));
    let service = Data::new(Service {
        catalog: catalog.clone(),
        metrics,
        accel: settings.accel_redirect.clone(),
        downloads: settings.stores.downloads().map_err(Failure)?,
        public_url: settings.public_url.clone().unwrap_or_default(),
    });
    let contract = Contract::new().map_err(|error| Failure(error.to_string()))?;
    let signals = Signals::new()?;
    let parts = Parts {
        service,
        contract: Data::new(contract),
        admission,
    };
    let (server, addresses) = bind(settings, parts)?;
    let stopping = stop(signals, server.handle());
    for address in addresses {
        tracing::info!(%address, "listening");
    }
    let ending = async {
        server.await?;
        refreshing.abort();
        if let Some(working) = working {
            working
                .stop(Duration::from_secs(settings.shutdown_timeout))
                .await;
        }
        catalog.close().await;
        tracing::info!("stopped");
        Ok(())
    };
    tokio::select! {
        ended = ending => ended,
        () = stopping => {
            tracing::warn!("stopped at once");
            Ok(())
        }
    }
}

/// What all threads that answer requests share.
struct Parts {
    service: Data<Service>,
    contract: Data<Contract>,
    admission: Data<Admission>,
}

/// What decides who may do how much.
async fn admission(settings: &Settings, catalog: Catalog) -> Result<Admission, Failure> {
    let access = &settings.access;
    let jwt = match access.jwt().map_err(Failure)? {
        Some(jwt) => Some(JwtVerifier::open(jwt).await?),
        None => None,
    };
    Ok(Admission {
        authenticator: Authenticator::new(catalog, access.takes_own_tokens(), jwt),
        turnover: access.requests_per_second.map(Turnover::new),
        slots: Slots::new(
            access.concurrent_uploads.get() as usize,
            access.concurrent_uploads_per_owner.get() as usize,
        ),
        pace: Pace {
            idle: Duration::from_secs(access.body_idle_timeout.get().into()),
            bytes_per_second: access.body_min_rate.get(),
        },
        trusted_proxies: access.trusted_proxies.clone(),
    })
}

fn bind(
    settings: &Settings,
    parts: Parts,
) -> Result<(actix_web::dev::Server, Vec<SocketAddr>), Failure> {
    let Parts {
        service,
        contract,
        admission,
    } = parts;
    let header_timeout = Duration::from_secs(settings.access.header_timeout.get().into());
    let connections = Connections::new(KEEP_ALIVE + header_timeout);
    actix_web::rt::spawn(connections.clone().keep_closing());
    let origins = settings.cors_origins.clone();
    let observer = Observer {
        service: service.clone(),
        contract: contract.clone(),
        admission: admission.clone(),
    };
    let mut server = HttpServer::new(move || {
        let observer = observer.clone();
        let gate = (admission.clone(), service.clone());
        App::new()
            .wrap(from_fn(move |request, next| {
                let (admission, service) = gate.clone();
                admission::admit(admission, service, request, next)
            }))
            .wrap(from_fn(tus::speak))
            .wrap(Condition::new(
                !origins.is_empty(),
                cors(&origins, &contract.fields),
            ))
            .wrap(from_fn(move |request, next| {
                observer.clone().observe(request, next)
            }))
            .wrap(from_fn(tus::understand))
            .app_data(service.clone())
            .app_data(contract.clone())
            .app_data(admission.clone())
            .into_utoipa_app()
            .configure(routes::operations)
            .into_app()
            .configure(routes::pages)
            .default_service(web::to(routes::otherwise))
    })
    .tcp_nodelay(true)
    .client_request_timeout(header_timeout)
    .keep_alive(KEEP_ALIVE)
    .on_connect(move |stream, data| connections.accept(stream, data))
    .shutdown_timeout(settings.shutdown_timeout)
    .disable_signals();
    if let Some(workers) = settings.workers {
        server = server.workers(workers.get() as usize);
    }
    let listen = settings.listen;
    let server = server
        .bind(listen)
        .map_err(|error| Failure(format!("cannot listen on {listen}: {error}")))?;
    let addresses = server.addrs();
    Ok((server.run(), addresses))
}

/// Lets pages of other origins use the service, if the settings say so.
fn cors(origins: &[String], fields: &BTreeSet<String>) -> Cors {
    let mut cors = Cors::default()
        .allow_any_method()
        .allow_any_header()
        .expose_headers(fields)
        .max_age(3600);
    for origin in origins {
        cors = match origin.as_str() {
            "*" => cors.allow_any_origin().send_wildcard(),
            origin => cors.allowed_origin(origin),
        };
    }
    cors
}

/// Lets the server finish its requests and stop when it is told to; ends when it is told so a
/// second time, by whoever does not want to wait for that, nor for the copies that are being made.
async fn stop(mut signals: Signals, server: ServerHandle) {
    signals.next().await;
    tracing::info!("stopping");
    // The next signal is waited for while this goes on.
    drop(actix_web::rt::spawn(server.stop(true)));
    signals.next().await;
}

/// Says which stores cannot be used, and why.
async fn tell_of_stores(catalog: Catalog) {
    for store in catalog.stores().iter() {
        if let Err(error) = store.probe().await {
            tracing::error!(store = store.name(), error = %Causes(&error), "a store cannot be used");
        }
    }
}

/// Looks for new keys of tokens' issuer, and forgets who has not been heard of.
async fn keep_fresh(admission: Data<Admission>) {
    loop {
        tokio::time::sleep(KEYS_EVERY).await;
        if let Some(turnover) = &admission.turnover {
            turnover.forget_idle();
        }
        admission.authenticator.refresh_keys().await;
    }
}
