//! The settings: a TOML file, overridden by the environment, overridden by flags.
//!
//! Each setting is defined once, as a flag. What the file says becomes that flag's default, so
//! that every value is read and refused in the same way, wherever it comes from.

mod access;
pub(crate) mod quantity;
mod redis;
mod roles;
mod store_config;
mod stores;
mod traces;

use std::{net::SocketAddr, num::NonZeroU32, path::PathBuf, time::Duration};

use api::ShutdownTimeouts;
use clap::{Args, ValueEnum};
use service::Limits;
use telemetry::logging;

pub(crate) use self::{
    access::Access,
    redis::RedisSettings,
    roles::{Role, Roles},
    store_config::StoreConfig,
    stores::{PolicyKind, StoreTables, Transfers},
    traces::Traces,
};

/// Where a secret or any other value is really found.
const FROM_ENVIRONMENT: &str = "env:";
const FROM_FILE: &str = "file:";

/// What the service can be told about how to run.
#[derive(Args, Clone)]
pub(crate) struct Settings {
    /// The address to listen on; port 0 takes a free one.
    #[arg(long, env = "FILESERVER_LISTEN", default_value = "127.0.0.1:8080", global = true, value_name = "ADDRESS", value_parser = parse::<SocketAddr>)]
    pub(crate) listen: SocketAddr,

    /// The folder for everything that is kept on this machine.
    #[arg(long, env = "FILESERVER_DATA_DIR", default_value = "./data", global = true, value_name = "FOLDER", value_parser = parse::<PathBuf>)]
    pub(crate) data_dir: PathBuf,

    /// The database: `sqlite:PATH`, `mysql://...` or `postgres://...`; unless given, SQLite in the
    /// data folder.
    #[arg(long, env = "FILESERVER_DATABASE_URL", global = true, hide_env_values = true, hide_default_value = true, value_name = "URL", value_parser = resolve)]
    pub(crate) database_url: Option<String>,

    /// The other servers of the database, separated by commas; any one of all takes writes, and
    /// the rest are read from.
    #[arg(long, env = "FILESERVER_DATABASE_REPLICAS", global = true, hide_env_values = true, hide_default_value = true, value_delimiter = ',', value_name = "URLS", value_parser = resolve)]
    pub(crate) database_replicas: Vec<String>,

    /// While no database server takes writes, how many seconds a replica may have been behind
    /// before, to be read from all the same.
    #[arg(long, env = "FILESERVER_REPLICA_MAX_LAG", default_value = "5", global = true, value_name = "SECONDS", value_parser = parse::<u32>)]
    pub(crate) replica_max_lag: u32,

    /// The most connections to each server of the database.
    #[arg(long, env = "FILESERVER_DATABASE_CONNECTIONS", default_value = "10", global = true, value_name = "NUMBER", value_parser = parse::<NonZeroU32>)]
    pub(crate) database_connections: NonZeroU32,

    /// Do not bring the database's schema up to date at the start.
    #[arg(long, env = "FILESERVER_NO_MIGRATE", global = true)]
    pub(crate) no_migrate: bool,

    #[command(flatten)]
    pub(crate) roles: Roles,

    #[command(flatten)]
    pub(crate) redis: RedisSettings,

    #[command(flatten)]
    pub(crate) access: Access,

    #[command(flatten)]
    pub(crate) transfers: Transfers,

    /// What the file and the environment say of each store.
    #[arg(skip)]
    pub(crate) stores: StoreTables,

    /// The most bytes that an upload may have; unless given, there is no limit.
    #[arg(long, env = "FILESERVER_MAX_UPLOAD_SIZE", global = true, value_name = "BYTES", value_parser = parse::<u64>)]
    pub(crate) max_upload_size: Option<u64>,

    /// How many seconds an upload is kept of which nothing is heard.
    #[arg(long, env = "FILESERVER_UPLOAD_AGE", default_value = "86400", global = true, value_name = "SECONDS", value_parser = parse::<NonZeroU32>)]
    pub(crate) upload_age: NonZeroU32,

    /// An origin whose pages may use the service (CORS), or `*` for all; may be given repeatedly,
    /// or separated by commas.
    #[arg(long, env = "FILESERVER_CORS_ORIGINS", global = true, value_delimiter = ',', value_name = "ORIGIN", value_parser = resolve)]
    pub(crate) cors_origins: Vec<String>,

    /// The secret that cursors of listings are made with, 64 hexadecimal digits, which replicas
    /// share; unless given, one is made and kept in the data folder.
    #[arg(long, env = "FILESERVER_CURSOR_KEY", global = true, hide_env_values = true, hide_default_value = true, value_name = "KEY", value_parser = resolve)]
    pub(crate) cursor_key: Option<String>,

    /// The secrets that links are signed with, 64 hexadecimal digits each, which replicas share,
    /// separated by commas: the first signs, and links that any of them signed work; unless given,
    /// one is made and kept in the data folder.
    #[arg(long, env = "FILESERVER_LINK_KEYS", global = true, hide_env_values = true, hide_default_value = true, value_delimiter = ',', value_name = "KEYS", value_parser = resolve)]
    pub(crate) link_keys: Vec<String>,

    /// The most seconds that a link may work.
    #[arg(long, env = "FILESERVER_LINK_AGE", default_value = "604800", global = true, value_name = "SECONDS", value_parser = parse::<NonZeroU32>)]
    pub(crate) link_age: NonZeroU32,

    /// What the URLs of links begin with, such as `https://files.example.org`; unless given, they
    /// begin with the path.
    #[arg(long, env = "FILESERVER_PUBLIC_URL", global = true, value_name = "URL", value_parser = public_url)]
    pub(crate) public_url: Option<String>,

    /// Where the nginx in front has the objects in an internal location, such as `/_objects/`; every
    /// trusted proxy has to be such an nginx then. Unless given, the service sends the bytes itself.
    #[arg(long, env = "FILESERVER_ACCEL_REDIRECT", global = true, value_name = "PATH", value_parser = internal_location)]
    pub(crate) accel_redirect: Option<String>,

    /// How many seconds a deleted file can be restored.
    #[arg(long, env = "FILESERVER_DELETED_AGE", default_value = "2592000", global = true, value_name = "SECONDS", value_parser = parse::<u32>)]
    pub(crate) deleted_age: u32,

    /// How many seconds the bytes stay of what nobody has any more; no download takes longer to
    /// begin.
    #[arg(long, env = "FILESERVER_PURGE_GRACE", default_value = "86400", global = true, value_name = "SECONDS", value_parser = parse::<u32>)]
    pub(crate) purge_grace: u32,

    /// How many threads answer requests; unless given, one for each processor.
    #[arg(long, env = "FILESERVER_WORKERS", global = true, value_name = "NUMBER", value_parser = parse::<NonZeroU32>)]
    pub(crate) workers: Option<NonZeroU32>,

    /// For how many seconds requests are still taken when the service is told to stop, while
    /// `/readyz` says no and each answer closes its connection, so that whoever sends requests here
    /// sends them elsewhere.
    #[arg(long, env = "FILESERVER_DRAIN", default_value = "0", global = true, value_name = "SECONDS", value_parser = parse::<u32>)]
    pub(crate) drain: u32,

    /// How many seconds running requests have to finish in after that.
    #[arg(long, env = "FILESERVER_SHUTDOWN_TIMEOUT", default_value = "30", global = true, value_name = "SECONDS", value_parser = parse::<u64>)]
    pub(crate) shutdown_timeout: u64,

    #[command(flatten)]
    pub(crate) traces: Traces,

    /// What to log, as `info` or `warn,fileserver=debug`.
    // Requests that are no HTTP are not the service's fault, and libraries' chatter is for nobody.
    #[arg(long, env = "FILESERVER_LOG", default_value = "info,actix_http::h1=off,actix_server=warn,sea_orm_migration=warn,sqlx=warn", global = true, value_name = "FILTER", value_parser = resolve)]
    pub(crate) log: String,

    /// How to log, on standard error.
    #[arg(
        long,
        env = "FILESERVER_LOG_FORMAT",
        default_value = "auto",
        global = true,
        value_name = "FORMAT"
    )]
    pub(crate) log_format: LogFormat,
}

/// How to log.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// Text on a terminal, and JSON elsewhere.
    Auto,
    /// Lines for people.
    Text,
    /// One JSON object a line.
    Json,
}

impl Settings {
    /// Where the database is.
    pub(crate) fn database(&self) -> persistence::Options {
        let path = || format!("sqlite:{}", self.data_dir.join("fileserver.db").display());
        persistence::Options {
            url: self.database_url.clone().unwrap_or_else(path),
            replicas: each(&self.database_replicas),
            max_lag: Duration::from_secs(self.replica_max_lag.into()),
            connections: self.database_connections.get(),
        }
    }

    /// What clients may do at most.
    pub(crate) fn limits(&self) -> Limits {
        Limits {
            max_upload_size: self.max_upload_size,
            upload_age: Duration::from_secs(self.upload_age.get().into()),
            claims_per_minute: self.access.claims_per_minute.get().into(),
            quota: self.access.quota(),
            link_age: Duration::from_secs(self.link_age.get().into()),
            deleted_age: Duration::from_secs(self.deleted_age.into()),
            purge_grace: Duration::from_secs(self.purge_grace.into()),
            copy_grace: Duration::from_secs(self.transfers.copy_grace.into()),
            orphan_age: Duration::from_secs(self.transfers.orphan_age.into()),
        }
    }

    /// Time limits of a shutdown.
    pub(crate) fn shutdown_timeouts(&self) -> ShutdownTimeouts {
        ShutdownTimeouts {
            drain: Duration::from_secs(self.drain.into()),
            requests: Duration::from_secs(self.shutdown_timeout),
        }
    }

    /// Refuses a service that anybody on the network could use.
    pub(crate) fn refuse_open_access(&self) -> Result<(), SettingsError> {
        if self.access.is_open() && !self.listen.ip().is_loopback() {
            return Err(SettingsError::new(format!(
                "without authentication the service listens on a loopback address only, not on {}",
                self.listen
            )));
        }
        Ok(())
    }
}

/// Settings that are malformed, or contradict each other.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct SettingsError(String);

impl SettingsError {
    pub(crate) fn new(reason: impl Into<String>) -> Self {
        Self(reason.into())
    }
}

impl From<LogFormat> for logging::LogFormat {
    fn from(format: LogFormat) -> Self {
        match format {
            LogFormat::Auto => Self::Auto,
            LogFormat::Text => Self::Text,
            LogFormat::Json => Self::Json,
        }
    }
}

/// What a settings file says.
#[derive(Default)]
pub(crate) struct SettingsFile {
    /// The settings that are flags, by name.
    pub(crate) flags: Vec<(String, String)>,
    /// The stores.
    pub(crate) stores: StoreTables,
}

/// The settings in a TOML file.
///
/// `[stores.NAME]` describes a store; what stands below `[transfer]` is called `transfer_...`
/// elsewhere.
///
/// # Errors
///
/// When the file is not TOML, or a value is not one that a setting can have.
pub(crate) fn read_file(text: &str) -> Result<SettingsFile, String> {
    let table: toml::Table = text.parse().map_err(|error: toml::de::Error| {
        // The line itself may hold a secret.
        let before = error.span().and_then(|span| text.get(..span.start));
        let line = before.map_or(1, |before| before.matches('\n').count() + 1);
        format!("line {line}: {}", error.message())
    })?;
    let mut file = SettingsFile::default();
    for (name, value) in table {
        match (name.as_str(), value) {
            ("stores", toml::Value::Table(stores)) => {
                for (store, said) in stores {
                    let toml::Value::Table(said) = said else {
                        return Err(format!("`stores.{store}` is a table"));
                    };
                    for (key, value) in said {
                        let value = plain(&format!("stores.{store}.{key}"), &value)?;
                        file.stores.set(&store, &key, value)?;
                    }
                }
            }
            ("transfer", toml::Value::Table(said)) => {
                for (key, value) in said {
                    let value = plain(&format!("transfer.{key}"), &value)?;
                    file.flags.push((format!("transfer_{key}"), value));
                }
            }
            (_, value) => {
                let value = plain(&name, &value)?;
                file.flags.push((name, value));
            }
        }
    }
    Ok(file)
}

fn plain(name: &str, value: &toml::Value) -> Result<String, String> {
    match value {
        toml::Value::String(text) => Ok(text.clone()),
        toml::Value::Integer(_) | toml::Value::Boolean(_) => Ok(value.to_string()),
        toml::Value::Array(values) => {
            let values: Result<Vec<_>, _> = values.iter().map(|value| plain(name, value)).collect();
            Ok(values?.join(","))
        }
        _ => Err(format!("`{name}` cannot have such a value")),
    }
}

/// Reads a value, perhaps from elsewhere.
fn parse<T>(value: &str) -> Result<T, String>
where
    T: std::str::FromStr<Err: std::fmt::Display>,
{
    resolve(value)?
        .parse()
        .map_err(|error: T::Err| error.to_string())
}

fn public_url(value: &str) -> Result<String, String> {
    let value = resolve(value)?;
    let url: reqwest::Url = value
        .parse()
        .map_err(|error| format!("it is no URL: {error}"))?;
    if !matches!(url.scheme(), "http" | "https") || url.query().is_some() {
        return Err("it begins with `https://` or `http://`, and has no query".to_owned());
    }
    Ok(value.trim_end_matches('/').to_owned())
}

fn internal_location(value: &str) -> Result<String, String> {
    let value = resolve(value)?;
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-_".contains(&byte);
    if !value.starts_with('/') || !value.ends_with('/') || !value.bytes().all(is_plain) {
        return Err("it begins and ends with `/`, and has letters and digits between".to_owned());
    }
    Ok(value)
}

/// The values of a list, of which some may have come together from elsewhere.
pub(crate) fn each(values: &[String]) -> Vec<String> {
    let values = values.iter().flat_map(|value| value.split([',', '\n']));
    let values = values.map(str::trim).filter(|value| !value.is_empty());
    values.map(str::to_owned).collect()
}

/// A value, or that of an environment variable (`env:NAME`) or of a file (`file:PATH`).
pub(crate) fn resolve(value: &str) -> Result<String, String> {
    if let Some(name) = value.strip_prefix(FROM_ENVIRONMENT) {
        std::env::var(name).map_err(|error| format!("{name}: {error}"))
    } else if let Some(path) = value.strip_prefix(FROM_FILE) {
        let text = std::fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))?;
        Ok(text.trim_end_matches(['\r', '\n']).to_owned())
    } else {
        Ok(value.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_settings_of_every_plain_kind() {
        let text = "listen = \"127.0.0.1:1\"\nmax_upload_size = 5\ncors_origins = [\"a\", \"b\"]";
        let mut settings = read_file(text).unwrap().flags;
        settings.sort();
        let expected = [
            ("cors_origins", "a,b"),
            ("listen", "127.0.0.1:1"),
            ("max_upload_size", "5"),
        ];
        assert_eq!(
            settings,
            expected.map(|(name, value)| (name.to_owned(), value.to_owned()))
        );
        assert!(read_file("listen = {}").is_err());
        assert!(read_file("listen").is_err());
    }

    #[test]
    fn a_value_may_stand_elsewhere() {
        assert_eq!(resolve("plain").unwrap(), "plain");
        assert!(resolve("env:FILESERVER_THAT_IS_NOT_SET").is_err());
        let here = format!(
            "file:{}",
            concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")
        );
        assert!(resolve(&here).unwrap().starts_with("[package]"));
        assert!(resolve("file:/nowhere").is_err());
    }

    #[test]
    fn a_list_may_stand_elsewhere_as_a_whole() {
        let values = ["a".to_owned(), "b, c\r\nd\n".to_owned(), String::new()];
        assert_eq!(each(&values), ["a", "b", "c", "d"]);
    }
}
