//! `fileserver rm`: deletes files on a server.

use std::process::ExitCode;

use clap::Args;
use domain::Sha1;

use super::{connection::Connection, terminal::Outcome};

/// The files to delete.
#[derive(Args)]
pub(crate) struct Rm {
    /// The SHA-1s of the files.
    #[arg(required = true, value_name = "SHA1")]
    sha1s: Vec<Sha1>,

    /// Delete the files without the possibility to restore them; also applies to files deleted before.
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
