//! `fileserver ls`: lists the caller's files on a server.

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use clap::Args;
use domain::FileMeta;
use reqwest::Method;
use serde::Deserialize;

use client::{Outcome, Trouble, read_json, shown};

use super::connection::Connection;

/// The most files that the server tells at once.
const PAGE: u64 = 1000;

/// What to list.
#[derive(Args)]
pub(crate) struct Ls {
    /// Only files with this in their name, in upper or lower case.
    #[arg(long, value_name = "TEXT")]
    name: Option<String>,

    /// Files that were deleted and can be restored, rather than those that are there.
    #[arg(long)]
    deleted: bool,

    /// The most files to list; unless given, all of them.
    #[arg(long, value_name = "NUMBER")]
    limit: Option<u64>,

    /// As JSON, one object a line.
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    connection: Connection,
}

/// A part of a listing, as the server tells it.
#[derive(Deserialize)]
struct Page {
    files: Vec<FileMeta>,
    next: Option<String>,
}

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn run(command: &Ls) -> ExitCode {
    let mut outcome = Outcome::default();
    if let Err(trouble) = list(command).await {
        outcome.failed("ls", &trouble);
    }
    outcome.exit_code()
}

async fn list(command: &Ls) -> Result<(), Trouble> {
    let client = command.connection.client()?;
    let mut left = command.limit.unwrap_or(u64::MAX);
    let mut cursor = None;
    while left > 0 {
        let query = query(command, left.min(PAGE), cursor);
        let request = || client.request(Method::GET, "files").query(&query);
        let page: Page = read_json(client.ask(request).await?).await?;
        match print(&page.files, command.json) {
            // Whoever reads this has seen enough.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
            printed => printed.map_err(Trouble::local)?,
        }
        left = left.saturating_sub(page.files.len() as u64);
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    Ok(())
}

fn query(command: &Ls, limit: u64, cursor: Option<String>) -> Vec<(&'static str, String)> {
    let mut query = vec![("limit", limit.to_string())];
    if command.deleted {
        query.push(("status", "deleted".to_owned()));
    }
    query.extend(command.name.clone().map(|name| ("name", name)));
    query.extend(cursor.map(|cursor| ("cursor", cursor)));
    query
}

fn print(files: &[FileMeta], json: bool) -> io::Result<()> {
    let mut output = io::BufWriter::new(io::stdout().lock());
    for file in files {
        if json {
            serde_json::to_writer(&mut output, file)?;
            writeln!(output)?;
        } else {
            // A `Timestamp` does not pad itself.
            let upload_at = file.upload_at.to_string();
            let name = shown(file.file_name.as_str());
            let (sha1, size) = (file.file_sha1, file.file_size);
            writeln!(output, "{sha1}  {size:>13}  {upload_at:<27}  {name}")?;
        }
    }
    output.flush()
}
