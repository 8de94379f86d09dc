//! `fileserver health`: asks a service on this machine whether it is well.

use std::{net::SocketAddr, process::ExitCode, time::Duration};

use anyhow::{Result, bail};
use clap::Args;
use reqwest::{Client, Response, redirect::Policy};

use super::{fail, terminal::sanitize_for_terminal};

use crate::settings::Settings;

/// How long the answer may take: longer than the service itself waits for what it needs.
const PATIENCE: Duration = Duration::from_secs(4);

/// The most that is shown of an answer, in bytes.
const MOST_BYTES: usize = 1024;

/// What to ask.
#[derive(Args)]
pub(crate) struct Health {
    /// Ask whether it can do its work (`/readyz`), not only whether it runs (`/healthz`).
    #[arg(long)]
    ready: bool,

    /// The address to ask; unless given, the one that the settings let the service listen on.
    #[arg(long, value_name = "ADDRESS")]
    at: Option<SocketAddr>,
}

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn run(settings: &Settings, command: &Health) -> ExitCode {
    match ask(command, command.at.unwrap_or(settings.listen)).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            fail(&error);
            // What runs containers knows 0 and 1.
            ExitCode::FAILURE
        }
    }
}

async fn ask(command: &Health, listen: SocketAddr) -> Result<()> {
    let path = if command.ready { "readyz" } else { "healthz" };
    let url = format!("http://{}/{path}", reachable(listen));
    // It is an error if there is one already, which will do then.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = Client::builder()
        .timeout(PATIENCE)
        .redirect(Policy::none())
        .no_proxy()
        .tls_certs_only([])
        .build()?;
    let response = client.get(&url).send().await?;
    let status = response.status();
    if status.is_success() {
        return Ok(());
    }
    let said = beginning(response).await;
    bail!("{url}: {status}: {}", sanitize_for_terminal(&said))
}

/// Where a service can be asked that listens on an address, which may be all of a machine's.
fn reachable(mut listen: SocketAddr) -> SocketAddr {
    if listen.ip().is_unspecified() {
        listen.set_ip(match listen {
            SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        });
    }
    listen
}

/// As much of an answer as fits in a line; nothing, if it does not come.
async fn beginning(mut response: Response) -> String {
    let mut said = Vec::new();
    while let Ok(Some(piece)) = response.chunk().await
        && said.len() < MOST_BYTES
    {
        said.extend_from_slice(&piece);
    }
    said.truncate(MOST_BYTES);
    String::from_utf8_lossy(&said).into_owned()
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
