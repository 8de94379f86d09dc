//! `fileserver openapi`: prints the contract; it needs no database, store or settings.

use std::process::ExitCode;

use super::{Failure, fail};
use crate::contract::Contract;

pub(crate) fn run(json: bool) -> ExitCode {
    match Contract::new() {
        Ok(contract) if json => println!("{}", contract.json),
        Ok(contract) => print!("{}", contract.yaml),
        Err(error) => return fail(&Failure(error.to_string())),
    }
    ExitCode::SUCCESS
}
