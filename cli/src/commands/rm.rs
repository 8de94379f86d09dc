//! `fileserver rm`: deletes files on a server.

use std::{cell::Cell, process::ExitCode};

use clap::Args;
use domain::Sha1;
use reqwest::Method;

use client::{Client, Outcome, Trouble};

use super::connection::Connection;

/// What to delete.
#[derive(Args)]
pub(crate) struct Rm {
    /// The files' SHA-1s.
    #[arg(required = true, value_name = "SHA1")]
    sha1s: Vec<Sha1>,

    /// Give up the right to restore them, also of those that were deleted before.
    #[arg(long)]
    purge: bool,

    #[command(flatten)]
    connection: Connection,
}

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn run(command: &Rm) -> ExitCode {
    let mut outcome = Outcome::default();
    match command.connection.client() {
        Ok(client) => {
            for sha1 in &command.sha1s {
                if let Err(trouble) = remove(&client, sha1, command.purge).await {
                    outcome.failed(sha1, &trouble);
                }
            }
        }
        Err(trouble) => outcome.failed("rm", &trouble),
    }
    outcome.exit_code()
}

async fn remove(client: &Client, sha1: &Sha1, purge: bool) -> Result<(), Trouble> {
    let asked = Cell::new(0);
    let request = || {
        asked.set(asked.get() + 1);
        let request = client.request(Method::DELETE, &format!("files/{sha1}"));
        if purge {
            request.query(&[("purge", "true")])
        } else {
            request
        }
    };
    match client.ask(request).await {
        // An earlier try did it, and its answer was lost.
        Err(trouble) if trouble.is_gone() && asked.get() > 1 => Ok(()),
        answered => answered.map(drop),
    }
}
