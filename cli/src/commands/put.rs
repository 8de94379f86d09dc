//! `fileserver put`: gives files to a server.

use std::{
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Args;
use domain::{FileName, MediaType};

use client::{Client, Input, Named, Outcome, Trouble, Way, put, shown};

use super::connection::Connection;

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
        Ok(client) => {
            for file in &command.files {
                if let Err(trouble) = put_one(&client, command, file).await {
                    outcome.failed(file.display(), &trouble);
                }
            }
        }
        Err(trouble) => outcome.failed("put", &trouble),
    }
    outcome.exit_code()
}

fn prepare(command: &Put) -> Result<Client, Trouble> {
    if command.name.is_some() && command.files.len() > 1 {
        return Err(Trouble::local(
            "`--name` names one file, and there are more",
        ));
    }
    command.connection.client()
}

async fn put_one(client: &Client, command: &Put, file: &Path) -> Result<(), Trouble> {
    let input = if is_standard_input(file) {
        Input::Stream(Box::new(io::stdin()))
    } else {
        Input::open(file)?
    };
    let named = named(command, file)?;
    let (sha1, way) = put(client, input, &named).await?;
    let name = shown(named.name.as_str());
    match way {
        Way::Uploaded => eprintln!("{name}: uploaded"),
        Way::Instant => eprintln!("{name}: instant"),
        Way::Already(same) if same == named.name => eprintln!("{name}: already there"),
        Way::Already(other) => {
            eprintln!("{name}: already there, as {}", shown(other.as_str()));
        }
    }
    writeln!(io::stdout(), "{sha1}  {name}").map_err(Trouble::local)
}

fn is_standard_input(file: &Path) -> bool {
    file.as_os_str() == "-"
}

fn named(command: &Put, file: &Path) -> Result<Named, Trouble> {
    let name = match &command.name {
        Some(name) => name.clone(),
        None => own_name(file)?,
    };
    let guess = || {
        let guess = mime_guess::from_path(name.as_str()).first_raw();
        guess.and_then(|guess| guess.parse().ok())
    };
    let media_type = command.media_type.clone().or_else(guess);
    Ok(Named {
        media_type: media_type.unwrap_or_default(),
        name,
    })
}

fn own_name(file: &Path) -> Result<FileName, Trouble> {
    if is_standard_input(file) {
        return Err(Trouble::local("standard input needs a `--name`"));
    }
    let name = file.file_name().and_then(|name| name.to_str());
    let name =
        name.ok_or_else(|| Trouble::local("it has no name in UTF-8; give it one by `--name`"))?;
    name.parse()
        .map_err(|error| Trouble::Local(format!("{error}; give it another by `--name`")))
}
