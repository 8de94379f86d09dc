//! `fileserver serve`: runs the service.

use std::{collections::BTreeSet, process::ExitCode, time::Duration};

use actix_cors::Cors;
use actix_web::{
    App, HttpServer,
    dev::Server,
    middleware::{Condition, from_fn},
    web::{self, Data},
};
use service::FileService;
use utoipa_actix_web::AppExt as _;

use super::{Failure, Signals, fail, observe, open_service};
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
    settings::{Role, Settings, each},
    state::AppState,
    stopping::{Door, Serving, Stopping},
    worker::{Worker, Working, sweep_disks},
};

/// How long a connection is kept on which nothing is asked: longer than nginx keeps it, which would
/// otherwise use one that is just being closed.
const KEEP_ALIVE: Duration = Duration::from_secs(30);

/// How many seconds it takes at most to close connections on which nothing runs.
const CLOSED_WITHIN: u64 = 5;

#[actix_web::main]
pub(crate) async fn run(settings: &Settings) -> ExitCode {
    match serve(settings).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => fail(&failure),
    }
}

async fn serve(settings: &Settings) -> Result<(), Failure> {
    settings.refuse_open_door().map_err(Failure)?;
    settings.roles.refuse_contradiction().map_err(Failure)?;
    let traces = observe(settings)?;
    let service = open_service(settings).await?;
    tell_of_own_keys(settings, &service);
    sweep_disks(&service).await;
    actix_web::rt::spawn(tell_of_stores(service.clone()));
    let metrics = Metrics::new(&service).with_traces(traces.as_ref().map(|traces| &traces.counts));
    let worker = Worker::new(settings, service.clone(), metrics.copies.clone());
    let worker = worker.map_err(Failure)?;
    let working = settings.roles.has(Role::Worker).then(|| worker.start());

    let admission = Data::new(admission(settings, service.clone()).await?);
    let refreshing = actix_web::rt::spawn(keep_fresh(admission.clone()));
    let state = Data::new(AppState {
        service: service.clone(),
        metrics,
        accel: settings.accel_redirect.clone(),
        downloads: settings.stores.downloads().map_err(Failure)?,
        stopping: Stopping::new(),
        public_url: settings.public_url.clone().unwrap_or_default(),
    });
    let contract = Contract::new().map_err(|error| Failure(error.to_string()))?;
    let mut signals = Signals::new()?;
    let parts = Parts {
        state,
        contract: Data::new(contract),
        admission,
    };
    let (server, serving) = bind(settings, parts)?;
    let mut running = actix_web::rt::spawn(server);
    tokio::select! {
        // It does not end by itself, unless it failed.
        ended = &mut running => return Ok(ended??),
        () = signals.next() => tracing::info!("stopping"),
    }
    let ending = async {
        tokio::join!(
            serving.stop(settings.patience()),
            end_work(working, settings)
        );
        running.await?
    };
    tokio::select! {
        ended = ending => {
            ended?;
            refreshing.abort();
            service.close().await;
            if let Some(traces) = traces {
                traces.end().await;
            }
            tracing::info!("stopped");
        }
        // Whoever says so twice does not want to wait for requests, nor for copies.
        () = signals.next() => tracing::warn!("stopped at once"),
    }
    Ok(())
}

/// Lets others do at once what this process does for no request.
async fn end_work(working: Option<Working>, settings: &Settings) {
    if let Some(working) = working {
        let patience = Duration::from_secs(settings.shutdown_timeout);
        working.stop(patience).await;
    }
}

/// What all threads that answer requests share.
struct Parts {
    state: Data<AppState>,
    contract: Data<Contract>,
    admission: Data<Admission>,
}

/// What decides who may do how much.
async fn admission(settings: &Settings, service: FileService) -> Result<Admission, Failure> {
    let access = &settings.access;
    let redis = service.hot_entries().map(|hot| hot.redis().clone());
    let jwt = match access.jwt().map_err(Failure)? {
        Some(jwt) => Some(JwtVerifier::open(jwt).await?),
        None => None,
    };
    Ok(Admission {
        authenticator: Authenticator::new(service, access.takes_own_tokens(), jwt),
        turnover: access
            .requests_per_second
            .map(|per_second| Turnover::new(per_second, redis)),
        slots: Slots::new(
            access.concurrent_uploads.get() as usize,
            access.concurrent_uploads_per_owner.get() as usize,
        ),
        pace: Pace {
            idle: Duration::from_secs(access.body_idle_timeout.get().into()),
            bytes_per_second: access.body_min_rate.get(),
        },
        trusted_proxies: access.trusted_proxies.clone(),
        roles: settings.roles.clone(),
    })
}

fn bind(settings: &Settings, parts: Parts) -> Result<(Server, Serving), Failure> {
    let Parts {
        state,
        contract,
        admission,
    } = parts;
    let header_timeout = Duration::from_secs(settings.access.header_timeout.get().into());
    let connections = Connections::new(KEEP_ALIVE + header_timeout);
    actix_web::rt::spawn(connections.clone().keep_closing());
    let stopping = state.stopping.clone();
    let new_ones = connections.clone();
    let origins = each(&settings.cors_origins);
    let observer = Observer {
        state: state.clone(),
        contract: contract.clone(),
        admission: admission.clone(),
    };
    let mut server = HttpServer::new(move || {
        let observer = observer.clone();
        let gate = (admission.clone(), state.clone());
        App::new()
            .wrap(from_fn(move |request, next| {
                let (admission, state) = gate.clone();
                admission::admit(admission, state, request, next)
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
            .app_data(state.clone())
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
    .on_connect(move |stream, data| new_ones.accept(stream, data))
    // Before it is told to stop all requests have been answered.
    .shutdown_timeout(CLOSED_WITHIN)
    .disable_signals();
    // One thread is enough for probes.
    let few = (!settings.roles.serves()).then_some(1);
    if let Some(workers) = settings
        .workers
        .map(|workers| workers.get() as usize)
        .or(few)
    {
        server = server.workers(workers);
    }
    let listen = settings.listen;
    let cannot = |error| Failure(format!("cannot listen on {listen}: {error}"));
    let (door, listener) = Door::open(listen).map_err(cannot)?;
    let server = server.listen(listener).map_err(cannot)?;
    for address in server.addrs() {
        tracing::info!(%address, "listening");
    }
    let server = server.run();
    let serving = Serving {
        handle: server.handle(),
        door,
        connections,
        stopping,
    };
    Ok((server, serving))
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

/// Says that what this process signs is worth nothing to others, if there may be others.
fn tell_of_own_keys(settings: &Settings, service: &FileService) {
    let own = [
        ("cursor_key", settings.cursor_key.is_none()),
        ("link_keys", settings.link_keys.is_empty()),
    ];
    for (setting, _) in own.into_iter().filter(|(_, is_own)| *is_own) {
        if settings.roles.serves() && service.is_on_server() {
            tracing::warn!(
                setting,
                "the key is that of this data folder; replicas with folders of their own need the \
                 same one in their settings"
            );
        }
    }
}

/// Says which stores cannot be used, and why.
async fn tell_of_stores(service: FileService) {
    for store in service.stores().iter() {
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
