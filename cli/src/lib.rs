//! The `fileserver` binary: its settings and its subcommands.
//!
//! It is a library so that `fuzz/` reaches its parsers.

mod args;
mod commands;
mod open;
mod settings;

#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub use settings::fuzzing;

use std::process::ExitCode;

use args::{Command, CommandLine};

/// Runs the subcommand that the command line names.
#[must_use]
pub fn run() -> ExitCode {
    let line = match CommandLine::read(std::env::args_os()) {
        Ok(line) => line,
        Err(error) => error.exit(),
    };
    match line.command {
        Command::Serve => commands::serve::run(&line.settings),
        Command::Migrate { direction } => commands::migrate::run(&line.settings, direction),
        Command::Check(check) => commands::check::run(&line.settings, &check),
        Command::Worker(worker) => commands::worker::run(&line.settings, &worker),
        Command::Transfer(transfer) => commands::transfer::run(&line.settings, &transfer),
        Command::Health(health) => commands::health::run(&line.settings, &health),
        Command::Openapi { json } => commands::openapi::run(json),
        Command::Token { action } => commands::token::run(&line.settings, &action),
        Command::Adopt(command) => commands::adopt::run(&line.settings, &command),
        Command::Quota { action } => commands::quota::run(&line.settings, &action),
        Command::Put(put) => commands::put::run(&put),
        Command::Get(get) => commands::get::run(&get),
        Command::Ls(ls) => commands::ls::run(&ls),
        Command::Rm(rm) => commands::rm::run(&rm),
        Command::Uploads { action } => commands::uploads::run(&action),
        Command::Mv(mv) => commands::mv::run(&mv),
    }
}
