//! `fileserver put`: gives files to a server.

use std::{
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
};

use clap::Args;
use client::{Client, ClientError, FileInfo, Input, PutOutcome};
use domain::{FileName, MediaType};

use super::{
    connection::Connection,
    terminal::{Bar, Outcome, sanitize_for_terminal},
};

/// What to give, and as what.
#[derive(Args)]
pub(crate) struct Put {
    /// The files; `-` is standard input, which needs a `--name`.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,

    /// What the file is to be called, if there is one only; unless given, what it is called here.
    #[arg(long)]
    name: Option<FileName>,

    /// The media type of all of them; unless given, what their names suggest.
    #[arg(long = "type", value_name = "TYPE")]
    media_type: Option<MediaType>,

    #[command(flatten)]
    connection: Connection,
}

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn run(command: &Put) -> ExitCode {
    let mut outcome = Outcome::default();
    match prepare(command) {
        Ok((client, bar)) => {
            for file in &command.files {
                if let Err(error) = put_one(&client, &bar, command, file).await {
                    bar.clear();
                    outcome.failed(file.display(), &error);
                }
            }
        }
        Err(error) => outcome.failed("put", &error),
    }
    outcome.exit_code()
}

fn prepare(command: &Put) -> Result<(Client, Arc<Bar>), ClientError> {
    if command.name.is_some() && command.files.len() > 1 {
        return Err(ClientError::local(
            "`--name` names one file, and there are more",
        ));
    }
    command.connection.client()
}

async fn put_one(
    client: &Client,
    bar: &Bar,
    command: &Put,
    file: &Path,
) -> Result<(), ClientError> {
    let input = if is_standard_input(file) {
        Input::Stream(Box::new(io::stdin()))
    } else {
        Input::open(file)?
    };
    let info = info(command, file)?;
    bar.set_name(info.name.as_str());
    let (sha1, outcome) = client.put(input, &info).await?;
    bar.clear();
    let name = sanitize_for_terminal(info.name.as_str());
    match outcome {
        PutOutcome::Uploaded => eprintln!("{name}: uploaded"),
        PutOutcome::Instant => eprintln!("{name}: instant"),
        PutOutcome::Existing(same) if same == info.name => eprintln!("{name}: already there"),
        PutOutcome::Existing(other) => {
            eprintln!(
                "{name}: already there, as {}",
                sanitize_for_terminal(other.as_str())
            );
        }
    }
    writeln!(io::stdout(), "{sha1}  {name}").map_err(ClientError::local)
}

fn is_standard_input(file: &Path) -> bool {
    file.as_os_str() == "-"
}

fn info(command: &Put, file: &Path) -> Result<FileInfo, ClientError> {
    let name = match &command.name {
        Some(name) => name.clone(),
        None => own_name(file)?,
    };
    let guess = || {
        let guess = mime_guess::from_path(name.as_str()).first_raw();
        guess.and_then(|guess| guess.parse().ok())
    };
    let media_type = command.media_type.clone().or_else(guess);
    Ok(FileInfo {
        media_type: media_type.unwrap_or_default(),
        name,
    })
}

fn own_name(file: &Path) -> Result<FileName, ClientError> {
    if is_standard_input(file) {
        return Err(ClientError::local("standard input needs a `--name`"));
    }
    let name = file.file_name().and_then(|name| name.to_str());
    let name =
        name.ok_or_else(|| ClientError::local("it has no name in UTF-8; give it one by `--name`"))?;
    name.parse()
        .map_err(|error| ClientError::Local(format!("{error}; give it another by `--name`")))
}
