//! The HTTP API on actix-web.
//!
//! A request passes the middleware in the order of `app`, reaches one file of `endpoints`, and is
//! answered by it through `upload`, `download` or `response`. Only this crate knows status codes:
//! `problem` is the table of what can go wrong.

mod app;
mod auth;
mod connection;
mod download;
mod endpoints;
mod extract;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
mod headers;
mod limits;
mod metrics_listener;
mod middleware;
mod openapi;
mod options;
mod pages;
mod problem;
mod public_url;
mod response;
mod roles;
mod routes;
mod server;
mod shutdown;
mod state;
mod upload;

pub use crate::{
    auth::jwt::{Algorithm, JwtSettings, KeySource},
    connection::{CertificateError, TlsFiles},
    download::{DISK, DownloadMode},
    headers::origin::{AllowedOrigin, Origin, OriginError},
    limits::body_timeout::BodyTimeout,
    metrics_listener::serve_metrics,
    openapi::Contract,
    options::{ApiOptions, AuthOptions, LimitOptions},
    public_url::{PublicUrl, PublicUrlError},
    roles::{Role, Roles},
    routes::contract,
    server::{RunningServer, StartError, start},
    shutdown::ShutdownTimeouts,
};
