//! The command line.

use std::{
    ffi::{OsStr, OsString},
    path::PathBuf,
};

use clap::{
    Arg, ArgMatches, Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand,
    parser::ValueSource,
};

use crate::{
    commands::{
        check::Check, connection::Connection, get::Get, health::Health, ls::Ls, mv::Mv, put::Put,
        quota::QuotaAction, rm::Rm, token::TokenAction, transfer::Transfer, worker::WorkerCommand,
    },
    settings::{self, Settings, SettingsFile, StoreTables},
};

const DEFAULT_FILE: &str = "fileserver.toml";

/// Settings with a secret in them, which everybody on the machine could read on a command line.
const SECRET_FLAGS: [&str; 2] = ["otlp_headers", "transfer_broker"];

/// Keeps one copy of each distinct content, and gives it back fast and whole.
///
/// Every setting is a flag, an environment variable, or a line of the settings file, where it has
/// the flag's name with `_` for `-`; the earlier come before the later. Stores are described in the
/// file, below `[stores.NAME]`, or by variables `FILESERVER_STORES_NAME_...`. Any text, number or path may be
/// `env:NAME` or `file:PATH`, and stands there then.
#[derive(Parser)]
#[command(name = "fileserver", version)]
pub(crate) struct CommandLine {
    /// The settings file; unless given, `fileserver.toml` if it is there.
    #[arg(long, env = "FILESERVER_CONFIG", global = true, value_name = "FILE")]
    config: Option<PathBuf>,

    #[command(flatten, next_help_heading = "The service's settings")]
    pub(crate) settings: Settings,

    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to do.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Run the service.
    Serve,
    /// FileUpdate the database's schema.
    Migrate {
        #[command(subcommand)]
        direction: Migration,
    },
    /// Compare the database's rows and the stores' bytes.
    ///
    /// Exits with 0 if they fit, with 1 if they do not, with 2 if that cannot be told.
    Check(Check),
    /// Do what is not done for a request: copies to other stores, purging, sweeping.
    Worker(WorkerCommand),
    /// Move everything that one store has to another, while the service runs.
    ///
    /// It can be broken off at any time, and goes on where it was when it is started again.
    Transfer(Transfer),
    /// Ask the service on this machine whether it is well; what checks a container's health.
    ///
    /// Exits with 0 if it is, with 1 and the reason if it is not or does not answer in time.
    Health(Health),
    /// Print the OpenAPI contract.
    Openapi {
        /// As JSON rather than YAML.
        #[arg(long)]
        json: bool,
    },
    /// Make, list and revoke the tokens that let somebody in.
    Token {
        #[command(subcommand)]
        action: TokenAction,
    },
    /// Show and set how much owners may have.
    Quota {
        #[command(subcommand)]
        action: QuotaAction,
    },
    /// Give files to a server.
    ///
    /// What the server has already is not sent: if you have it there, nothing is; if another has,
    /// a proof that you have the file, too. Everything else is sent so that it goes on when the
    /// connection breaks or the server starts anew, until there was no progress for a minute.
    /// Prints a line with SHA-1 and name for each file. Exits with 0 if all went well, with 1 if
    /// the server refused, with 2 if it failed.
    Put(Put),
    /// Fetch a file from a server.
    ///
    /// The file gets its name when it came whole, and has the SHA-1 that it should have. Exits
    /// with 0 if all went well, with 1 if the server refused, with 2 if it failed.
    Get(Get),
    /// List your files on a server, newest first: SHA-1, size, time of the upload, name.
    ///
    /// Exits with 0 if all went well, with 1 if the server refused, with 2 if it failed.
    Ls(Ls),
    /// Delete files on a server.
    ///
    /// They can be restored, unless they are purged. Exits with 0 if all went well, with 1 if the
    /// server refused, with 2 if it failed.
    Rm(Rm),
    /// Rename a file on a server.
    ///
    /// Exits with 0 if all went well, with 1 if the server refused, with 2 if it failed.
    Mv(Mv),
}

/// How to change the schema.
#[derive(Subcommand)]
pub(crate) enum Migration {
    /// Take the steps that are missing.
    Up,
    /// Take steps back, and lose what their tables hold.
    Down {
        /// How many.
        #[arg(long, default_value = "1")]
        steps: u32,
    },
    /// List the steps, and whether they were taken.
    Status,
}

impl CommandLine {
    /// Reads the command line, the environment and the settings file.
    ///
    /// # Errors
    ///
    /// What is wrong with them, for the person who wrote them.
    pub(crate) fn read(arguments: impl Iterator<Item = OsString>) -> Result<Self, clap::Error> {
        let arguments: Vec<OsString> = arguments.collect();
        // The first time to learn where the file is, the second with what it says.
        let plain = Self::command().try_get_matches_from(&arguments)?;
        refuse_unknown_variables(std::env::vars_os().map(|(name, _)| name))?;
        let path: Option<&PathBuf> = plain.get_one("config");
        let (matches, mut stores) = match read_file(path)? {
            Some(SettingsFile { flags, stores }) => {
                let command = with_defaults(Self::command(), flags)?;
                (command.try_get_matches_from(&arguments)?, stores)
            }
            None => (plain, StoreTables::default()),
        };
        refuse_secrets_in_sight(&matches)?;
        let variables = std::env::vars_os();
        let variables = variables.filter_map(|(name, value)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        });
        stores.read_environment(variables).map_err(refuse)?;
        let mut line = Self::from_arg_matches(&matches)?;
        line.settings.stores = stores;
        Ok(line)
    }
}

fn refuse(reason: String) -> clap::Error {
    CommandLine::command().error(clap::error::ErrorKind::InvalidValue, reason)
}

fn read_file(path: Option<&PathBuf>) -> Result<Option<SettingsFile>, clap::Error> {
    let default = PathBuf::from(DEFAULT_FILE);
    if path.is_none() && !default.exists() {
        return Ok(None);
    }
    let path = path.unwrap_or(&default);
    let refused = |reason: String| refuse(format!("{}: {reason}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|error| refused(error.to_string()))?;
    settings::read_file(&text).map(Some).map_err(refused)
}

/// A secret on the command line is one that everybody on the machine can read.
fn refuse_secrets_in_sight(matches: &ArgMatches) -> Result<(), clap::Error> {
    let mut at = matches;
    loop {
        for flag in SECRET_FLAGS {
            if at.value_source(flag) != Some(ValueSource::CommandLine) {
                continue;
            }
            let mut values = at.get_raw(flag).into_iter().flatten();
            let stands_elsewhere = |value: &OsStr| {
                let value = value.to_string_lossy();
                value.starts_with("env:") || value.starts_with("file:")
            };
            if !values.all(stands_elsewhere) {
                let flag = flag.replace('_', "-");
                return Err(refuse(format!(
                    "--{flag} has a secret in it: give it as `env:NAME` or `file:PATH`"
                )));
            }
        }
        match at.subcommand() {
            Some((_, below)) => at = below,
            None => return Ok(()),
        }
    }
}

/// Makes what the file says the defaults of the flags.
fn with_defaults(
    mut command: clap::Command,
    settings: Vec<(String, String)>,
) -> Result<clap::Command, clap::Error> {
    let known: Vec<String> = setting_flags()
        .map(|flag| flag.get_id().to_string())
        .collect();
    for (name, value) in settings {
        if !known.contains(&name) {
            let names = known.join(", ");
            return Err(refuse(format!(
                "there is no setting `{name}`; there are {names}"
            )));
        }
        command = command.mut_arg(name, |flag| {
            if flag.get_value_delimiter().is_some() {
                flag.default_values(value.split(',').map(str::to_owned).collect::<Vec<_>>())
            } else {
                flag.default_value(value)
            }
        });
    }
    Ok(command)
}

fn setting_flags() -> impl Iterator<Item = Arg> {
    flags::<Settings>()
}

fn flags<T: Args>() -> impl Iterator<Item = Arg> {
    let command = T::augment_args(clap::Command::new("flags"));
    command
        .get_arguments()
        .cloned()
        .collect::<Vec<_>>()
        .into_iter()
}

/// A variable that looks like a setting and is none is one that was misspelt.
fn refuse_unknown_variables(names: impl Iterator<Item = OsString>) -> Result<(), clap::Error> {
    let known: Vec<OsString> = setting_flags()
        .chain(flags::<Connection>())
        .chain(flags::<WorkerCommand>())
        .filter_map(|flag| flag.get_env().map(OsString::from))
        .chain([OsString::from("FILESERVER_CONFIG")])
        .collect();
    for name in names {
        let text = name.to_string_lossy();
        let is_known = known.contains(&name) || StoreTables::is_variable(&text);
        if text.starts_with("FILESERVER_") && !is_known {
            return Err(refuse(format!(
                "there is no setting for the environment's {text}"
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(arguments: &[&str], file: &str) -> Result<Settings, String> {
        let with_name: Vec<_> = ["fileserver", "serve"].iter().chain(arguments).collect();
        let command = settings::read_file(file)
            .map_err(refuse)
            .and_then(|file| with_defaults(CommandLine::command(), file.flags));
        command
            .and_then(|command| command.try_get_matches_from(with_name))
            .and_then(|matches| CommandLine::from_arg_matches(&matches))
            .map(|line| line.settings)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn the_command_line_is_sound() {
        CommandLine::command().debug_assert();
    }

    #[test]
    fn flags_come_before_the_file_and_the_file_before_defaults() {
        let file =
            "max_upload_size = 5\nno_migrate = true\ncors_origins = [\"http://a\", \"http://b\"]";
        let settings = read(&["--max-upload-size", "7"], file).unwrap();
        assert_eq!(settings.max_upload_size, Some(7));
        assert!(settings.no_migrate);
        assert_eq!(settings.cors_origins, ["http://a", "http://b"]);
        assert_eq!(settings.shutdown_timeout, 30);
        let settings = read(&[], file).unwrap();
        assert_eq!(settings.max_upload_size, Some(5));
    }

    #[test]
    fn what_is_wrong_or_unknown_is_told() {
        let refusal = |arguments: &[&str], file: &str| read(arguments, file).err().unwrap();
        assert!(refusal(&[], "max_upload_sizes = 5").contains("max_upload_sizes"));
        assert!(refusal(&[], "max_upload_size = -5").contains("max-upload-size"));
        assert!(refusal(&["--listen", "here"], "").contains("here"));
        assert!(refusal(&[], "token = \"x\"").contains("`token`"));
        let known = ["FILESERVER_LISTEN", "FILESERVER_SERVER", "FILESERVER_TOKEN"];
        let known = known.map(OsString::from).into_iter();
        assert!(refuse_unknown_variables(known).is_ok());
        let name = OsString::from("FILESERVER_LISTENS");
        let refusal = refuse_unknown_variables([name].into_iter()).unwrap_err();
        assert!(refusal.to_string().contains("FILESERVER_LISTENS"));
    }

    #[test]
    fn everybody_is_let_in_on_loopback_only() {
        let open = read(&["--listen", "0.0.0.0:80"], "").unwrap();
        assert!(
            open.refuse_open_access()
                .unwrap_err()
                .to_string()
                .contains("0.0.0.0:80")
        );
        assert!(
            read(&["--listen", "[::1]:80"], "")
                .unwrap()
                .refuse_open_access()
                .is_ok()
        );
    }
}
