//! `fileserver put`: uploads files to a server.

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
    Signals,
    connection::Connection,
    terminal::{Bar, Outcome, sanitize_for_terminal},
};

/// The files to upload, their names and their media type.
#[derive(Args)]
pub(crate) struct Put {
    /// The files; `-` is standard input, which requires `--name`.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,

    /// The name on the server, for a single file. Default: the name of the local file.
    #[arg(long)]
    name: Option<FileName>,

    /// The media type of all files. Default: derived from each name.
    #[arg(long = "type", value_name = "TYPE")]
    media_type: Option<MediaType>,

    #[command(flatten)]
    connection: Connection,
}

/// The exit status of a process that SIGINT ends.
const INTERRUPTED: u8 = 130;

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn run(command: &Put) -> ExitCode {
    let mut outcome = Outcome::default();
    let prepared = prepare(command)
        .and_then(|(client, bar)| Ok((client, bar, Signals::new().map_err(ClientError::local)?)));
    match prepared {
        Ok((client, bar, mut signals)) => {
            for file in &command.files {
                let put = tokio::select! {
                    put = put_one(&client, &bar, command, file) => put,
                    () = signals.next() => {
                        interrupted(&bar, file);
                        return ExitCode::from(INTERRUPTED);
                    }
                };
                if let Err(error) = put {
                    bar.clear();
                    outcome.failed(file.display(), &error);
                }
            }
        }
        Err(error) => outcome.failed("put", &error),
    }
    outcome.exit_code()
}

/// Says how to go on after a signal.
fn interrupted(bar: &Bar, file: &Path) {
    bar.clear();
    let file = sanitize_for_terminal(&file.to_string_lossy());
    let remedy = if bar.is_remembered() {
        "; run the same command again to send the rest"
    } else {
        ""
    };
    eprintln!("fileserver: {file}: interrupted{remedy}");
}

fn prepare(command: &Put) -> Result<(Client, Arc<Bar>), ClientError> {
    if command.name.is_some() && command.files.len() > 1 {
        return Err(ClientError::local("`--name` requires a single file"));
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
    // The name that the file has on the server.
    let mut stored = name.clone();
    match outcome {
        PutOutcome::Uploaded => eprintln!("{name}: uploaded"),
        PutOutcome::Instant => eprintln!("{name}: instant"),
        PutOutcome::Existing(same) if same == info.name => eprintln!("{name}: already there"),
        PutOutcome::Existing(other) => {
            stored = sanitize_for_terminal(other.as_str());
            eprintln!("{name}: already there, as {stored}");
        }
    }
    writeln!(io::stdout(), "{sha1}  {stored}").map_err(ClientError::local)
}

fn is_standard_input(file: &Path) -> bool {
    file.as_os_str() == "-"
}

fn info(command: &Put, file: &Path) -> Result<FileInfo, ClientError> {
    let name = match &command.name {
        Some(name) => name.clone(),
        None => local_name(file)?,
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

fn local_name(file: &Path) -> Result<FileName, ClientError> {
    if is_standard_input(file) {
        return Err(ClientError::local("standard input requires `--name`"));
    }
    let name = file.file_name().and_then(|name| name.to_str());
    let name = name.ok_or_else(|| {
        ClientError::local("the name of the file is not UTF-8; name it by `--name`")
    })?;
    name.parse()
        .map_err(|error| ClientError::Local(format!("{error}; name it by `--name`")))
}
