//! `fileserver mv`: renames a file on a server.

use std::process::ExitCode;

use clap::Args;
use client::ClientError;
use domain::{FileName, Sha1};

use super::{connection::Connection, terminal::Outcome};

/// The file to rename, and its new name.
#[derive(Args)]
pub(crate) struct Mv {
    /// The SHA-1 of the file.
    sha1: Sha1,

    /// The new name.
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
