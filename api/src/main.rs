//! The `fileserver` binary: the service's API over HTTP, and its subcommands.

mod admission;
mod auth;
mod cli;
mod client;
mod commands;
mod connections;
mod contract;
mod delivery;
mod endpoints;
mod http;
mod intake;
mod metrics;
mod observe;
mod problem;
mod routes;
mod settings;
mod state;
mod stopping;
mod traces;
mod worker;

use std::process::ExitCode;

use cli::{Cli, Command};

fn main() -> ExitCode {
    let cli = match Cli::read(std::env::args_os()) {
        Ok(cli) => cli,
        Err(error) => error.exit(),
    };
    match cli.command {
        Command::Serve => commands::serve::run(&cli.settings),
        Command::Migrate { direction } => commands::migrate::run(&cli.settings, direction),
        Command::Check(check) => commands::check::run(&cli.settings, &check),
        Command::Worker(worker) => commands::worker::run(&cli.settings, &worker),
        Command::Transfer(transfer) => commands::transfer::run(&cli.settings, &transfer),
        Command::Health(health) => commands::health::run(&cli.settings, &health),
        Command::Openapi { json } => commands::openapi::run(json),
        Command::Token { action } => commands::token::run(&cli.settings, &action),
        Command::Quota { action } => commands::quota::run(&cli.settings, &action),
        Command::Put(put) => commands::put::run(&put),
        Command::Get(get) => commands::get::run(&get),
        Command::Ls(ls) => commands::ls::run(&ls),
        Command::Rm(rm) => commands::rm::run(&rm),
        Command::Mv(mv) => commands::mv::run(&mv),
    }
}
