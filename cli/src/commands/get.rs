//! `fileserver get`: downloads a file from a server.

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

/// The file to download, and its destination.
#[derive(Args)]
pub(crate) struct Get {
    /// The SHA-1 of the file.
    sha1: Sha1,

    /// The destination; `-` is standard output. Default: the file's own name, in the current folder.
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,

    /// Overwrite an existing file.
    #[arg(long)]
    force: bool,

    #[command(flatten)]
    connection: Connection,
}

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn run(command: &Get) -> ExitCode {
    let mut outcome = Outcome::default();
    let result = tokio::select! {
        result = get(command) => result,
        // The incomplete file is removed.
        _ = tokio::signal::ctrl_c() => Err(ClientError::local("interrupted")),
    };
    if let Err(error) = result {
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
            "the file has no name; name it by `--output`",
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
        return Err(already_exists(path));
    }
    Ok(())
}

/// Returns whether a path is that of a pipe or a device, which is written to and never replaced.
fn is_special(path: &Path) -> bool {
    let is_other = |found: std::fs::Metadata| !found.is_file() && !found.is_dir();
    path.metadata().is_ok_and(is_other)
}

fn already_exists(path: &Path) -> ClientError {
    let path = path.display();
    ClientError::Local(format!("{path} already exists; `--force` overwrites it"))
}

/// Writes to a file that gets its name when it is complete and verified.
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
        // As for any new file, the umask restricts this mode.
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
    let persisted = if force {
        file.persist(path)
    } else {
        file.persist_noclobber(path)
    };
    match persisted {
        Ok(_) => Ok(()),
        Err(failed) if failed.error.kind() == io::ErrorKind::AlreadyExists => {
            Err(already_exists(path))
        }
        Err(failed) => Err(ClientError::Local(format!(
            "{}: {}",
            path.display(),
            failed.error
        ))),
    }
}
