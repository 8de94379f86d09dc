//! Reading the command line, the environment and the settings file.

use std::{
    ffi::{OsStr, OsString},
    path::PathBuf,
};

use clap::{Arg, ArgMatches, Args, CommandFactory as _, FromArgMatches as _, parser::ValueSource};

use super::CommandLine;
use crate::{
    commands::{connection::Connection, worker::WorkerCommand},
    settings::{Settings, SettingsFile, StoreTables},
};

const DEFAULT_FILE: &str = "fileserver.toml";

/// Settings that contain a secret, which every user of the machine could read on a command line.
const SECRET_FLAGS: [&str; 2] = ["otlp_headers", "transfer_broker"];

impl CommandLine {
    /// Reads the command line, the environment and the settings file.
    ///
    /// # Errors
    ///
    /// If a setting is unknown, malformed, or a secret on the command line; the message is for the
    /// user.
    pub(crate) fn read(arguments: impl Iterator<Item = OsString>) -> Result<Self, clap::Error> {
        let arguments: Vec<OsString> = arguments.collect();
        // The first pass finds the settings file, the second one uses its values as defaults.
        let without_file = Self::command().try_get_matches_from(&arguments)?;
        refuse_unknown_variables(std::env::vars_os().map(|(name, _)| name))?;
        let path: Option<&PathBuf> = without_file.get_one("config");
        let (matches, mut stores) = match read_file(path)? {
            Some(SettingsFile { flags, stores }) => {
                let command = with_defaults(Self::command(), flags)?;
                (command.try_get_matches_from(&arguments)?, stores)
            }
            None => (without_file, StoreTables::default()),
        };
        refuse_visible_secrets(&matches)?;
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

fn refuse(reason: impl std::fmt::Display) -> clap::Error {
    CommandLine::command().error(clap::error::ErrorKind::InvalidValue, reason)
}

fn read_file(path: Option<&PathBuf>) -> Result<Option<SettingsFile>, clap::Error> {
    let default = PathBuf::from(DEFAULT_FILE);
    if path.is_none() && !default.exists() {
        return Ok(None);
    }
    let path = path.unwrap_or(&default);
    let refused = |error: &dyn std::error::Error| refuse(format!("{}: {error}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|error| refused(&error))?;
    SettingsFile::parse(&text)
        .map(Some)
        .map_err(|error| refused(&error))
}

/// Refuses secrets on the command line, which every user of the machine can read.
fn refuse_visible_secrets(matches: &ArgMatches) -> Result<(), clap::Error> {
    let mut level = matches;
    loop {
        for flag in SECRET_FLAGS {
            if level.value_source(flag) != Some(ValueSource::CommandLine) {
                continue;
            }
            let mut values = level.get_raw(flag).into_iter().flatten();
            let is_reference = |value: &OsStr| {
                let value = value.to_string_lossy();
                value.starts_with("env:") || value.starts_with("file:")
            };
            if !values.all(is_reference) {
                let flag = flag.replace('_', "-");
                return Err(refuse(format!(
                    "--{flag} has a secret in its value: write it as `env:NAME` or `file:PATH`"
                )));
            }
        }
        match level.subcommand() {
            Some((_, below)) => level = below,
            None => return Ok(()),
        }
    }
}

/// Makes the values of the file the defaults of the flags.
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

/// Refuses variables with the prefix of settings that name none, such as misspelt ones.
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
        let command = SettingsFile::parse(file)
            .map_err(refuse)
            .and_then(|file| with_defaults(CommandLine::command(), file.flags));
        command
            .and_then(|command| command.try_get_matches_from(with_name))
            .and_then(|matches| CommandLine::from_arg_matches(&matches))
            .map(|line| line.settings)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn the_command_line_is_well_formed() {
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
    fn malformed_and_unknown_settings_are_refused() {
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
    fn open_access_is_allowed_on_loopback_only() {
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
