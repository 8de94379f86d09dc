//! `fileserver mv`: renames a file on a server.

use std::process::ExitCode;

use clap::Args;
use domain::{FileName, Sha1};
use reqwest::{Method, header::CONTENT_TYPE};
use serde_json::json;

use client::{Outcome, Trouble};

use super::connection::Connection;

/// What to rename.
#[derive(Args)]
pub(crate) struct Mv {
    /// The file's SHA-1.
    sha1: Sha1,

    /// What it is to be called.
    name: FileName,

    #[command(flatten)]
    connection: Connection,
}

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn run(command: &Mv) -> ExitCode {
    let mut outcome = Outcome::default();
    if let Err(trouble) = rename(command).await {
        outcome.failed(command.sha1, &trouble);
    }
    outcome.exit_code()
}

async fn rename(command: &Mv) -> Result<(), Trouble> {
    let client = command.connection.client()?;
    let patch = json!({ "file_name": command.name }).to_string();
    let url = format!("files/{}", command.sha1);
    let request = || {
        let request = client.request(Method::PATCH, &url);
        let request = request.header(CONTENT_TYPE, "application/merge-patch+json");
        request.body(patch.clone())
    };
    client.ask(request).await.map(drop)
}
