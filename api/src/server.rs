//! Starting and stopping the HTTP server.

use std::{convert::Infallible, io, net::SocketAddr, rc::Rc, sync::Arc, time::Duration};

use actix_server::{ServerBuilder, ServerHandle};
use actix_service::{IntoService as _, Service, fn_factory};
use actix_web::web::Data;
use service::FileService;
use telemetry::Metrics;
use tokio::{net::TcpStream, task::JoinHandle};

use crate::{
    app::Shared,
    auth::{Authenticator, jwt},
    connection::{CertificateError, Certificates, ConnectionOptions, Worker},
    endpoints::check_readiness::ReadinessCache,
    limits::{rate_limit::RateLimiter, upload_slots::UploadSlots},
    middleware::{access_log::AccessLog, admission::Admission, cross_site::CrossSite},
    options::ApiOptions,
    public_url::PublicUrl,
    routes,
    shutdown::{self, Connections, Listener, ShutdownState, ShutdownTimeouts},
    state::AppState,
};

/// Time after which an idle connection is closed: longer than nginx keeps one, which would otherwise
/// reuse a connection that is just being closed.
pub(crate) const KEEP_ALIVE: Duration = Duration::from_secs(30);

/// Time limit, in seconds, for closing idle connections at the end of a shutdown.
const CLOSE_TIMEOUT: u64 = 5;

/// Pause between two reads of the JWT issuer's keys.
const REFRESH_INTERVAL: Duration = Duration::from_mins(5);

/// The HTTP server could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address cannot be listened on.
    #[error("could not listen on {0}: {1}")]
    Listen(SocketAddr, io::Error),
    /// The keys of the JWT issuer cannot be used.
    #[error(transparent)]
    Jwt(#[from] jwt::OpenError),
    /// The certificate or its key cannot be used.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// The contract cannot be built: a defect.
    #[error("could not build the contract")]
    Contract(#[from] crate::openapi::ContractError),
}

/// A running HTTP server.
pub struct RunningServer {
    address: Option<SocketAddr>,
    handle: ServerHandle,
    listener: Listener,
    connections: Connections,
    shutdown: ShutdownState,
    server: JoinHandle<io::Result<()>>,
    background: Vec<JoinHandle<()>>,
}

/// Starts the HTTP server on the current actix runtime.
///
/// # Errors
///
/// If the address cannot be listened on, or the JWT issuer's keys cannot be used.
pub async fn start(
    options: ApiOptions,
    service: FileService,
    metrics: Arc<Metrics>,
) -> Result<RunningServer, StartError> {
    let (listen, threads, header_timeout) =
        (options.listen, options.threads, options.header_timeout);
    // One thread is enough for probes.
    let threads = threads.or((!options.roles.is_any()).then_some(1));
    let certificates = options.tls.clone().map(Certificates::open).transpose()?;
    let tls = certificates
        .as_ref()
        .map(Certificates::acceptor)
        .transpose()?;
    let shared = shared(options, service, metrics).await?;
    let admission = shared.admission.clone();
    let shutdown = shared.state.shutdown.clone();

    let connections = Connections::new(KEEP_ALIVE + header_timeout);
    let mut server = ServerBuilder::new()
        // Before the server is told to stop, all requests have been answered.
        .shutdown_timeout(CLOSE_TIMEOUT)
        .disable_signals();
    if let Some(threads) = threads {
        server = server.workers(threads);
    }
    let options = ConnectionOptions {
        connections: connections.clone(),
        tls,
        header_timeout,
        stopping: server.graceful_shutdown_signal(),
        shared,
    };
    let failed = |error| StartError::Listen(listen, error);
    let (listener, socket) = Listener::bind(listen).map_err(failed)?;
    let address = socket.local_addr().ok();
    let server = server
        .listen("http", socket, move || {
            let options = options.clone();
            fn_factory(move || worker(options.clone()))
        })
        .map_err(failed)?;
    if let Some(address) = address {
        tracing::info!(%address, "listening");
    }
    let server = server.run();
    let mut background = vec![
        actix_web::rt::spawn(connections.clone().close_idle_loop()),
        actix_web::rt::spawn(refresh_loop(admission)),
    ];
    background.extend(certificates.map(|it| actix_web::rt::spawn(it.reload_loop())));
    Ok(RunningServer {
        address,
        handle: server.handle(),
        listener,
        shutdown,
        server: actix_web::rt::spawn(server),
        background,
        connections,
    })
}

/// Builds the service of one thread.
async fn worker(
    options: ConnectionOptions,
) -> Result<impl Service<TcpStream, Response = (), Error = Infallible>, ()> {
    let worker = Worker::start(options).await?;
    let serve = move |stream| {
        let worker = Rc::clone(&worker);
        async move {
            worker.serve(stream).await;
            Ok(())
        }
    };
    Ok(serve.into_service())
}

/// Builds what all threads share.
async fn shared(
    options: ApiOptions,
    service: FileService,
    metrics: Arc<Metrics>,
) -> Result<Shared, StartError> {
    let redis = service.entry_cache().map(|entries| entries.redis().clone());
    let is_open = !options.auth.own_tokens && options.auth.jwt.is_none();
    let jwt = match options.auth.jwt {
        Some(jwt) => Some(jwt::JwtVerifier::open(jwt).await?),
        None => None,
    };
    let limits = options.limits;
    let admission = Admission {
        authenticator: Authenticator::new(service.clone(), options.auth.own_tokens, jwt),
        rate_limiter: limits
            .requests_per_second
            .map(|per_second| RateLimiter::new(per_second, redis)),
        upload_slots: UploadSlots::new(limits.uploads, limits.uploads_per_owner),
        roles: options.roles,
        cross_site: is_open.then(|| {
            let own = options.public_url.as_ref().map(PublicUrl::origin).cloned();
            CrossSite::new(own, options.cors_origins.clone())
        }),
    };
    let contract = Data::new(routes::contract_at(options.public_url.as_ref())?);
    let state = Data::new(AppState {
        service,
        metrics,
        accel_redirect: options.accel_redirect,
        downloads: options.downloads,
        shutdown: ShutdownState::new(),
        readiness: ReadinessCache::default(),
        public_url: options.public_url,
    });
    Ok(Shared {
        access_log: AccessLog {
            state: state.clone(),
            contract: contract.clone(),
            body_timeout: limits.body,
            trusted_proxies: options.trusted_proxies.into(),
        },
        state,
        contract,
        admission: Data::new(admission),
        cors_origins: options.cors_origins,
    })
}

/// Reads the JWT issuer's keys again, and forgets owners that made no requests lately.
async fn refresh_loop(admission: Data<Admission>) {
    loop {
        tokio::time::sleep(REFRESH_INTERVAL).await;
        if let Some(rate_limiter) = &admission.rate_limiter {
            rate_limiter.forget_idle();
        }
        admission.authenticator.refresh_keys().await;
    }
}

impl RunningServer {
    /// The address that it listens on.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// Waits for the end of the server, which ends by itself only if it fails.
    ///
    /// # Errors
    ///
    /// Why the server failed.
    pub async fn ended(&mut self) -> io::Result<()> {
        (&mut self.server).await.map_err(io::Error::other)?
    }

    /// Stops the server without losing a request: first others are told to go elsewhere, then no
    /// connection is accepted any more, then running requests finish.
    ///
    /// # Errors
    ///
    /// Why the server failed meanwhile.
    pub async fn stop(mut self, timeouts: ShutdownTimeouts) -> io::Result<()> {
        shutdown::drain(
            &self.handle,
            self.listener,
            &self.connections,
            &self.shutdown,
            timeouts,
        )
        .await;
        let ended = (&mut self.server).await.map_err(io::Error::other)?;
        for task in self.background {
            task.abort();
        }
        ended
    }
}
