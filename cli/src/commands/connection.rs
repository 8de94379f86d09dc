//! The server that a subcommand talks to.

use clap::Args;
use client::{Client, Trouble};

use crate::settings::resolve;

/// Which server to talk to, and as whom.
#[derive(Args)]
pub(crate) struct Connection {
    /// The URL of the server.
    #[arg(long, env = "FILESERVER_SERVER", default_value = "http://127.0.0.1:8080", value_name = "URL", value_parser = resolve)]
    server: String,

    /// The token that the server lets you in with; as `env:NAME` or `file:PATH` it is not seen in
    /// the list of processes.
    #[arg(long, env = "FILESERVER_TOKEN", hide_env_values = true, value_name = "TOKEN", value_parser = resolve)]
    token: Option<String>,

    /// Tell what else is done, on standard error.
    #[arg(long, short)]
    verbose: bool,
}

impl Connection {
    /// Creates the client; it connects at the first request.
    ///
    /// # Errors
    ///
    /// If the URL or the token is malformed.
    pub(super) fn client(&self) -> Result<Client, Trouble> {
        Client::new(&self.server, self.token.as_deref(), self.verbose)
    }
}
