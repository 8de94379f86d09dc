//! `fileserver ls`: lists the caller's files on a server.

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use clap::Args;
use client::{ClientError, ListOptions};
use domain::FileMeta;

use super::{
    connection::Connection,
    terminal::{Outcome, sanitize_for_terminal},
};

/// The largest page of a listing.
const PAGE_SIZE: u64 = 1000;

/// The selection of files, and the format of the list.
#[derive(Args)]
pub(crate) struct Ls {
    /// List only files with this text in their name, regardless of case.
    #[arg(long, value_name = "TEXT")]
    name: Option<String>,

    /// List deleted files that can be restored, instead of the available ones.
    #[arg(long)]
    deleted: bool,

    /// The largest number of files to list. Default: all files.
    #[arg(long, value_name = "NUMBER")]
    limit: Option<u64>,

    /// Print JSON, one object per line.
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    connection: Connection,
}

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn run(command: &Ls) -> ExitCode {
    let mut outcome = Outcome::default();
    if let Err(error) = list(command).await {
        outcome.failed("ls", &error);
    }
    outcome.exit_code()
}

async fn list(command: &Ls) -> Result<(), ClientError> {
    let (client, _) = command.connection.client()?;
    let mut left = command.limit.unwrap_or(u64::MAX);
    let mut cursor = None;
    while left > 0 {
        let options = ListOptions {
            name: command.name.clone(),
            deleted: command.deleted,
            limit: Some(left.min(PAGE_SIZE)),
            cursor,
        };
        let page = client.list(&options).await?;
        match print(&page.files, command.json) {
            // The reader of the output has closed it.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
            printed => printed.map_err(ClientError::local)?,
        }
        left = left.saturating_sub(page.files.len() as u64);
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    Ok(())
}

fn print(files: &[FileMeta], json: bool) -> io::Result<()> {
    let mut output = io::BufWriter::new(io::stdout().lock());
    for file in files {
        if json {
            serde_json::to_writer(&mut output, file)?;
            writeln!(output)?;
        } else {
            // A `Timestamp` ignores the width of the format.
            let upload_at = file.upload_at.to_string();
            let name = sanitize_for_terminal(file.file_name.as_str());
            let (sha1, size) = (file.file_sha1, file.file_size);
            writeln!(output, "{sha1}  {size:>13}  {upload_at:<27}  {name}")?;
        }
    }
    output.flush()
}
