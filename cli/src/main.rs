//! The `fileserver` binary.

use std::process::ExitCode;

fn main() -> ExitCode {
    fileserver_cli::run()
}
