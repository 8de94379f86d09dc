//! `fileserver openapi`: prints the OpenAPI contract; it needs no database, store or settings.

use std::process::ExitCode;

use super::fail;

pub(crate) fn run(json: bool) -> ExitCode {
    match api::contract() {
        Ok(contract) if json => println!("{}", contract.json),
        Ok(contract) => print!("{}", contract.yaml),
        Err(error) => return fail(&error.into()),
    }
    ExitCode::SUCCESS
}
