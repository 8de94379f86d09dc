//! `fileserver get`: fetches a file from a server.

use std::{
    fs::Permissions,
    io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Args;
use client::{ClientError, Download};
use domain::Sha1;
use tempfile::NamedTempFile;

use super::{
    connection::Connection,
    terminal::{Bar, Outcome},
};

/// What to fetch, and where to.
#[derive(Args)]
pub(crate) struct Get {
    /// The file's SHA-1.
    sha1: Sha1,

    /// Where to write it, `-` for standard output; unless given, the file's own name in the
    /// current folder.
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,

    /// Write over a file that is there.
    #[arg(long)]
    force: bool,

    #[command(flatten)]
    connection: Connection,
}

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn run(command: &Get) -> ExitCode {
    let mut outcome = Outcome::default();
    let got = tokio::select! {
        got = get(command) => got,
        // What was fetched so far is removed.
        _ = tokio::signal::ctrl_c() => Err(ClientError::local("interrupted")),
    };
    if let Err(error) = got {
        outcome.failed(command.sha1, &error);
    }
    outcome.exit_code()
}

async fn get(command: &Get) -> Result<(), ClientError> {
    let (client, bar) = command.connection.client()?;
    let output = command.output.as_deref();
    if let Some(path) = output.filter(|path| !is_standard_output(path)) {
        refuse_existing(command, path)?;
    }
    let download = client.get(command.sha1).await?;
    let own_name = download.name().map(String::from);
    bar.set_name(own_name.as_deref().unwrap_or("file"));
    let written = match (output, own_name) {
        (Some(path), _) if is_standard_output(path) => {
            download.write_to(Box::new(io::stdout())).await
        }
        (Some(path), _) => write_file(command, download, path, &bar).await,
        (None, Some(name)) => write_file(command, download, Path::new(&name), &bar).await,
        (None, None) => Err(ClientError::local(
            "it has no name; give it one by `--output`",
        )),
    };
    bar.clear();
    written
}

fn is_standard_output(path: &Path) -> bool {
    path.as_os_str() == "-"
}

fn refuse_existing(command: &Get, path: &Path) -> Result<(), ClientError> {
    if !command.force && path.symlink_metadata().is_ok() && !is_special(path) {
        return Err(exists(path));
    }
    Ok(())
}

/// Whether a path is that of a pipe or a device, which is written to and never replaced.
fn is_special(path: &Path) -> bool {
    let is_other = |found: std::fs::Metadata| !found.is_file() && !found.is_dir();
    path.metadata().is_ok_and(is_other)
}

fn exists(path: &Path) -> ClientError {
    let path = path.display();
    ClientError::Local(format!("{path} is there already; `--force` writes over it"))
}

/// Writes to a file that gets its name when it is whole, and known to be the right one.
async fn write_file(
    command: &Get,
    download: Download<'_>,
    path: &Path,
    bar: &Bar,
) -> Result<(), ClientError> {
    refuse_existing(command, path)?;
    let failed = |error: io::Error| ClientError::Local(format!("{}: {error}", path.display()));
    if is_special(path) {
        let output = std::fs::OpenOptions::new().write(true).open(path);
        return download.write_to(Box::new(output.map_err(failed)?)).await;
    }
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let file = tempfile::Builder::new()
        .prefix(".fileserver-")
        .suffix(".part")
        // As any other file that is made: the umask takes away from it.
        .permissions(Permissions::from_mode(0o666))
        .tempfile_in(folder)
        .map_err(failed)?;
    let output = file.as_file().try_clone().map_err(failed)?;
    download.write_to(Box::new(output)).await?;
    file.as_file().sync_all().map_err(failed)?;
    name_file(file, path, command.force)?;
    bar.print(&path.display().to_string());
    Ok(())
}

fn name_file(file: NamedTempFile, path: &Path, force: bool) -> Result<(), ClientError> {
    let info = if force {
        file.persist(path)
    } else {
        file.persist_noclobber(path)
    };
    match info {
        Ok(_) => Ok(()),
        Err(failed) if failed.error.kind() == io::ErrorKind::AlreadyExists => Err(exists(path)),
        Err(failed) => Err(ClientError::Local(format!(
            "{}: {}",
            path.display(),
            failed.error
        ))),
    }
}
