//! `fileserver uploads`: lists and drops the caller's unfinished uploads on a server.

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use clap::Subcommand;
use client::{ClientError, UnfinishedUpload};
use domain::RandomId;

use super::{
    connection::Connection,
    terminal::{Outcome, sanitize_for_terminal},
};

/// The largest page of a listing.
const PAGE_SIZE: u64 = 1000;

/// The operations on unfinished uploads.
#[derive(Subcommand)]
pub(crate) enum UploadsAction {
    /// List them, newest first: id, received bytes, size, time of expiry, name.
    List {
        /// Print JSON, one object per line.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        connection: Connection,
    },
    /// Drop unfinished uploads: their bytes, and the space that they reserve in your quota.
    Drop {
        /// The ids of the uploads.
        #[arg(required = true, value_name = "ID")]
        ids: Vec<RandomId>,
        #[command(flatten)]
        connection: Connection,
    },
}

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn run(action: &UploadsAction) -> ExitCode {
    let mut outcome = Outcome::default();
    match action {
        UploadsAction::List { json, connection } => {
            if let Err(error) = list(connection, *json).await {
                outcome.failed("uploads", &error);
            }
        }
        UploadsAction::Drop { ids, connection } => match connection.client() {
            Ok((client, _)) => {
                for id in ids {
                    if let Err(error) = client.drop_upload(*id).await {
                        outcome.failed(id, &error);
                    }
                }
            }
            Err(error) => outcome.failed("uploads", &error),
        },
    }
    outcome.exit_code()
}

async fn list(connection: &Connection, json: bool) -> Result<(), ClientError> {
    let (client, _) = connection.client()?;
    let mut cursor = None;
    loop {
        let page = client.list_uploads(PAGE_SIZE, cursor.as_deref()).await?;
        match print(&page.uploads, json) {
            // The reader of the output has closed it.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
            printed => printed.map_err(ClientError::local)?,
        }
        cursor = page.next;
        if cursor.is_none() {
            return Ok(());
        }
    }
}

fn print(uploads: &[UnfinishedUpload], json: bool) -> io::Result<()> {
    let mut output = io::BufWriter::new(io::stdout().lock());
    for upload in uploads {
        if json {
            serde_json::to_writer(&mut output, upload)?;
            writeln!(output)?;
        } else {
            let number =
                |bytes: Option<u64>| bytes.map_or("-".to_owned(), |bytes| bytes.to_string());
            let (offset, length) = (number(upload.offset), number(upload.length));
            let expires_at = upload.expires_at.to_string();
            let id = sanitize_for_terminal(&upload.id);
            let name = sanitize_for_terminal(&upload.file_name);
            writeln!(
                output,
                "{id}  {offset:>13}  {length:>13}  {expires_at:<27}  {name}"
            )?;
        }
    }
    output.flush()
}
