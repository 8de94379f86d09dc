//! `fileserver mv`: renames a file on a server.

use std::process::ExitCode;

use clap::Args;
use client::ClientError;
use domain::{FileName, Sha1};

use super::{connection::Connection, terminal::Outcome};

/// What to rename.
#[derive(Args)]
pub(crate) struct Mv {
    /// The file's SHA-1.
    sha1: Sha1,

    /// What it is to be called.
    name: FileName,

    #[command(flatten)]
    connection: Connection,
}

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn run(command: &Mv) -> ExitCode {
    let mut outcome = Outcome::default();
    if let Err(error) = rename(command).await {
        outcome.failed(command.sha1, &error);
    }
    outcome.exit_code()
}

async fn rename(command: &Mv) -> Result<(), ClientError> {
    let (client, _) = command.connection.client()?;
    client.rename(&command.sha1, &command.name).await
}
