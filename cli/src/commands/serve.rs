//! `fileserver serve`: runs the service.

use std::{net::SocketAddr, process::ExitCode, sync::Arc, time::Duration};

use anyhow::Result;
use domain::{ErrorChain, Owner};
use service::FileService;

use super::{Signals, fail};
use crate::{
    open,
    settings::{Role, Settings},
};

#[actix_web::main]
pub(crate) async fn run(settings: &Settings) -> ExitCode {
    match serve(settings).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

async fn serve(settings: &Settings) -> Result<()> {
    settings.refuse_open_access()?;
    settings.roles.refuse_contradiction()?;
    settings.tls()?;
    let traces = open::telemetry(settings)?;
    let service = open::service(settings).await?;
    introduce(settings);
    warn_of_local_keys(settings, &service);
    warn_of_anonymous_files(settings, &service).await;
    worker::sweep_disks(&service).await;
    tokio::spawn(probe_stores(service.clone()));
    let metrics = Arc::new(open::metrics(&service, traces.as_ref()));
    let worker = open::worker(settings, &service, &metrics)?;
    let worker = settings.roles.has(Role::Worker).then(|| worker.start());
    let options = open::api_options(settings)?;
    let mut signals = Signals::new()?;
    let mut api = api::start(options, service.clone(), metrics).await?;
    if settings.roles.serves() {
        say_what_is_next(settings, api.address());
    }
    tokio::select! {
        // The server ends by itself only if it fails.
        ended = api.ended() => return Ok(ended?),
        () = signals.next() => tracing::info!("stopping"),
    }
    let stopped = async {
        let stop_worker = async {
            if let Some(worker) = worker {
                worker
                    .stop(Duration::from_secs(settings.shutdown_timeout))
                    .await;
            }
        };
        tokio::join!(api.stop(settings.shutdown_timeouts()), stop_worker).0
    };
    tokio::select! {
        ended = stopped => {
            ended?;
            service.close().await;
            if let Some(traces) = traces {
                traces.stop().await;
            }
            tracing::info!("stopped");
        }
        // A second signal skips the wait for requests and copies.
        () = signals.next() => tracing::warn!("stopped at once"),
    }
    Ok(())
}

/// Says which program starts, where its files are, and who may use it.
fn introduce(settings: &Settings) {
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        data_dir = %settings.data_dir.display(),
        database = settings.database_place(),
        credentials = settings.access.credentials(),
        "starting"
    );
}

/// Says how to begin.
fn say_what_is_next(settings: &Settings, address: Option<SocketAddr>) {
    let scheme = settings.scheme();
    let local = address.map(|address| match address.ip() {
        ip if ip.is_unspecified() => format!("{scheme}://localhost:{}", address.port()),
        _ => format!("{scheme}://{address}"),
    });
    let public = settings.public_url.as_ref().map(ToString::to_string);
    let Some(url) = public.or(local) else {
        return;
    };
    let url = url.trim_end_matches('/');
    if settings.access.accepts_own_tokens() {
        tracing::info!(
            "ready at {url}; `fileserver token create` makes a token, {url}/swagger-ui/ explains the API"
        );
    } else {
        tracing::info!("ready at {url}; {url}/swagger-ui/ explains the API");
    }
}

/// Says that files from before authentication are there, which nobody who has credentials sees.
async fn warn_of_anonymous_files(settings: &Settings, service: &FileService) {
    let anonymous = Owner::anonymous();
    if settings.access.is_open() || !settings.roles.serves() {
        return;
    }
    if let Ok(found) = service.find_usage(&anonymous).await
        && found.usage.files > 0
    {
        tracing::warn!(
            files = found.usage.files,
            "files from before authentication belong to `{anonymous}`; this hands them over to another owner: \
             fileserver adopt OWNER"
        );
    }
}

/// Warns if other replicas could not verify what this process signs.
fn warn_of_local_keys(settings: &Settings, service: &FileService) {
    let local = [
        ("cursor_key", settings.cursor_key.is_none()),
        ("link_keys", settings.link_keys.is_empty()),
    ];
    for (setting, _) in local.into_iter().filter(|(_, is_local)| *is_local) {
        if settings.roles.serves() && service.is_on_server() {
            tracing::warn!(
                setting,
                "the key is stored in the data folder; replicas with other data folders need the same \
                 key in their settings"
            );
        }
    }
}

/// Logs stores that cannot be used.
async fn probe_stores(service: FileService) {
    for store in service.stores().iter() {
        if let Err(error) = store.probe().await {
            tracing::error!(store = store.name(), error = %ErrorChain(&error), "store is not usable");
        }
    }
}
