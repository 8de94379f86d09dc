//! The arguments of the command line.

mod read;

use std::path::PathBuf;

use clap::{Parser, Subcommand};

use crate::{
    commands::{
        adopt::Adopt, check::Check, get::Get, health::Health, ls::Ls, migrate::Migration, mv::Mv,
        put::Put, quota::QuotaAction, rm::Rm, token::TokenAction, transfer::Transfer,
        uploads::UploadsAction, worker::WorkerCommand,
    },
    settings::Settings,
};

/// A file service that stores each distinct content once.
///
/// Every setting is a flag, an environment variable, or a line of the settings file, which has the
/// flag's name with `_` instead of `-`. Flags override variables, and variables override the file.
/// Stores are configured in the file, in tables `[stores.NAME]`, or by variables
/// `FILESERVER_STORES_NAME_...`. Any text, number or path can be written as `env:NAME` or
/// `file:PATH`, which reads the value from an environment variable or a file.
#[derive(Parser)]
#[command(name = "fileserver", version)]
pub(crate) struct CommandLine {
    /// The settings file. Default: `fileserver.toml` in the current directory, if it exists.
    #[arg(long, env = "FILESERVER_CONFIG", global = true, value_name = "FILE")]
    config: Option<PathBuf>,

    #[command(flatten, next_help_heading = "The service's settings")]
    pub(crate) settings: Settings,

    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The subcommands.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Run the service.
    Serve,
    /// Apply, revert or list the migrations of the database schema.
    Migrate {
        #[command(subcommand)]
        direction: Migration,
    },
    /// Compare the rows of the database with the bytes in the stores.
    ///
    /// Exit status: 0 if they agree, 1 if they differ, 2 if the check failed.
    Check(Check),
    /// Run background work: copies to other stores, purging, sweeping.
    Worker(WorkerCommand),
    /// Move all files of one store to another while the service runs.
    ///
    /// The transfer can be interrupted at any time. Started again, it continues where it was.
    Transfer(Transfer),
    /// Ask the service on this machine for its health, as the health check of a container.
    ///
    /// Exit status: 0 if it is healthy; 1, with the reason, if it is not or does not answer in time.
    Health(Health),
    /// Print the OpenAPI contract.
    Openapi {
        /// Print JSON instead of YAML.
        #[arg(long)]
        json: bool,
    },
    /// Create, list and revoke access tokens.
    Token {
        #[command(subcommand)]
        action: TokenAction,
    },
    /// Show and set the quotas of owners.
    Quota {
        #[command(subcommand)]
        action: QuotaAction,
    },
    /// Hand the files of one owner over to another, such as those from before authentication.
    ///
    /// It can run beside the service, and can be interrupted and run again. Links to the files stay
    /// valid. Unfinished uploads stay, and so do files whose contents the other owner has already.
    Adopt(Adopt),
    /// Upload files to a server.
    ///
    /// A file that you have on the server already is not sent. If another owner has the content
    /// there, a proof that you have it, too, is sent instead. Every other upload resumes after a
    /// broken connection or a restart of the server, and fails after one minute without progress.
    /// An upload of a file that was interrupted is remembered in `$XDG_STATE_HOME/fileserver`, or
    /// `~/.local/state/fileserver`: the same command, run again, sends the rest. Prints one line for
    /// each file, with its SHA-1 and its name. Exit status: 0 on success, 1 if the server refused a
    /// request, 2 on any other failure, 130 if it was interrupted.
    Put(Put),
    /// Download a file from a server.
    ///
    /// The file appears under its name only when it is complete and its SHA-1 is verified. Exit
    /// status: 0 on success, 1 if the server refused the request, 2 on any other failure.
    Get(Get),
    /// List your files on a server, newest first: SHA-1, size, time of the upload, name.
    ///
    /// Exit status: 0 on success, 1 if the server refused the request, 2 on any other failure.
    Ls(Ls),
    /// Delete files on a server.
    ///
    /// They can be restored, unless they are purged. Exit status: 0 on success, 1 if the server
    /// refused a request, 2 on any other failure.
    Rm(Rm),
    /// List and drop your unfinished uploads on a server.
    ///
    /// Exit status: 0 on success, 1 if the server refused a request, 2 on any other failure.
    Uploads {
        #[command(subcommand)]
        action: UploadsAction,
    },
    /// Rename a file on a server.
    ///
    /// Exit status: 0 on success, 1 if the server refused the request, 2 on any other failure.
    Mv(Mv),
}
