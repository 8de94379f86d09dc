//! The server that a subcommand sends requests to.

use std::{path::PathBuf, sync::Arc};

use clap::Args;
use client::{Client, ClientError};

use super::terminal::Bar;
use crate::settings::resolve;

/// The server, and the credentials.
#[derive(Args)]
pub(crate) struct Connection {
    /// The URL of the server.
    #[arg(long, env = "FILESERVER_SERVER", default_value = "http://127.0.0.1:8080", value_name = "URL", value_parser = resolve)]
    server: String,

    /// The access token. Written as `env:NAME` or `file:PATH`, it does not appear in the list of
    /// processes.
    #[arg(long, env = "FILESERVER_TOKEN", hide_env_values = true, value_name = "TOKEN", value_parser = resolve)]
    token: Option<String>,

    /// Print more details on standard error.
    #[arg(long, short)]
    verbose: bool,
}

impl Connection {
    /// Creates the client, and the bar that shows its progress.
    ///
    /// # Errors
    ///
    /// If the URL or the token is malformed.
    pub(super) fn client(&self) -> Result<(Client, Arc<Bar>), ClientError> {
        let bar = Arc::new(Bar::new(self.verbose));
        let client = Client::new(&self.server, self.token.as_deref())?;
        let client = client.with_observer(bar.clone());
        Ok(match state_folder() {
            Some(folder) => (client.remembering(folder), bar),
            None => (client, bar),
        })
    }
}

/// The folder for unfinished uploads of the user (XDG Base Directory Specification); `None` if the
/// user has no home.
fn state_folder() -> Option<PathBuf> {
    let folder = |name| {
        let folder = std::env::var_os(name).map(PathBuf::from);
        // The specification has a relative path ignored.
        folder.filter(|folder| folder.is_absolute())
    };
    let state = folder("XDG_STATE_HOME").or_else(|| Some(folder("HOME")?.join(".local/state")));
    Some(state?.join("fileserver/uploads"))
}
