//! `fileserver health`: asks a service on this machine for its health.

use std::{net::SocketAddr, process::ExitCode, time::Duration};

use anyhow::{Result, bail};
use clap::Args;
use reqwest::{Client, Response, redirect::Policy};

use super::{fail, terminal::sanitize_for_terminal};
use crate::settings::Settings;

/// Timeout of the response: longer than the service itself waits for its dependencies.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(4);

/// The largest part of a response that is shown, in bytes.
const MAX_SHOWN_BYTES: usize = 1024;

/// The endpoint to ask.
#[derive(Args)]
pub(crate) struct Health {
    /// Ask whether the service is ready for requests (`/readyz`), not only whether it runs (`/healthz`).
    #[arg(long)]
    ready: bool,

    /// The address to ask. Default: the address of `--listen`.
    #[arg(long, value_name = "ADDRESS")]
    at: Option<SocketAddr>,
}

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn run(settings: &Settings, command: &Health) -> ExitCode {
    let listen = command.at.unwrap_or(settings.listen);
    match ask(command, settings.scheme(), listen).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            fail(&error);
            // Container engines define only 0 and 1 for health checks.
            ExitCode::FAILURE
        }
    }
}

async fn ask(command: &Health, scheme: &str, listen: SocketAddr) -> Result<()> {
    let path = if command.ready { "readyz" } else { "healthz" };
    let url = format!("{scheme}://{}/{path}", reachable(listen));
    // An error means that a provider is installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = Client::builder()
        .timeout(RESPONSE_TIMEOUT)
        .redirect(Policy::none())
        .no_proxy()
        .tls_certs_only([])
        // The certificate is for the name that clients use, and nothing secret is sent.
        .tls_danger_accept_invalid_certs(true)
        .build()?;
    let response = client.get(&url).send().await?;
    let status = response.status();
    if status.is_success() {
        return Ok(());
    }
    let body = beginning(response).await;
    bail!("{url}: {status}: {}", sanitize_for_terminal(&body))
}

/// The address at which a service is reachable; one that listens on all addresses is on loopback, too.
fn reachable(mut listen: SocketAddr) -> SocketAddr {
    if listen.ip().is_unspecified() {
        listen.set_ip(match listen {
            SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        });
    }
    listen
}

/// The beginning of a response's body; empty if it cannot be read.
async fn beginning(mut response: Response) -> String {
    let mut body = Vec::new();
    while let Ok(Some(bytes)) = response.chunk().await
        && body.len() < MAX_SHOWN_BYTES
    {
        body.extend_from_slice(&bytes);
    }
    body.truncate(MAX_SHOWN_BYTES);
    String::from_utf8_lossy(&body).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_on_all_addresses_is_asked_on_loopback() {
        let asked = |listen: &str| reachable(listen.parse().unwrap()).to_string();
        assert_eq!(asked("0.0.0.0:80"), "127.0.0.1:80");
        assert_eq!(asked("[::]:80"), "[::1]:80");
        assert_eq!(asked("10.0.0.1:80"), "10.0.0.1:80");
    }
}
