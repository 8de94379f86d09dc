//! The subcommands.

pub(crate) mod adopt;
pub(crate) mod check;
pub(crate) mod connection;
pub(crate) mod get;
pub(crate) mod health;
pub(crate) mod ls;
pub(crate) mod migrate;
pub(crate) mod mv;
pub(crate) mod openapi;
pub(crate) mod put;
pub(crate) mod quota;
pub(crate) mod rm;
pub(crate) mod serve;
mod terminal;
pub(crate) mod token;
pub(crate) mod transfer;
pub(crate) mod uploads;
pub(crate) mod worker;

use std::{fmt, io, process::ExitCode};

use anyhow::Result;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Prints why a subcommand failed.
fn fail(error: &anyhow::Error) -> ExitCode {
    eprintln!("fileserver: {error:#}");
    ExitCode::from(2)
}

/// The rows that a subcommand lists, one line each.
struct Table<W>(W);

impl<W: io::Write> Table<W> {
    fn new(output: W) -> Self {
        Self(output)
    }

    /// Prints a row; tabs separate its cells.
    fn row(&mut self, cells: &[&dyn fmt::Display]) -> Result<()> {
        let cells: Vec<String> = cells.iter().map(ToString::to_string).collect();
        self.line(&cells.join("\t"))
    }

    fn line(&mut self, line: &dyn fmt::Display) -> Result<()> {
        Ok(writeln!(self.0, "{line}")?)
    }
}

/// The signals that ask a process to stop.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Waits for the next signal.
    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
