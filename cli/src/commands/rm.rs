//! `fileserver rm`: deletes files on a server.

use std::process::ExitCode;

use clap::Args;
use domain::Sha1;

use super::{connection::Connection, terminal::Outcome};

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
        Ok((client, _)) => {
            for sha1 in &command.sha1s {
                if let Err(error) = client.remove(sha1, command.purge).await {
                    outcome.failed(sha1, &error);
                }
            }
        }
        Err(error) => outcome.failed("rm", &error),
    }
    outcome.exit_code()
}
