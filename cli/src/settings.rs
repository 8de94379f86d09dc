//! The settings: a TOML file, overridden by the environment, overridden by flags.
//!
//! Each setting is defined once, as a flag. The values of the file become the flags' defaults, so that
//! every value is parsed and refused in the same way, wherever it comes from.

mod access;
#[cfg(test)]
mod documentation;
mod error;
mod file;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod log;
pub(crate) mod quantity;
mod redis;
mod roles;
mod store_config;
mod stores;
mod traces;
mod value;

use std::{
    net::{SocketAddr, ToSocketAddrs as _},
    num::NonZeroU32,
    path::PathBuf,
    time::Duration,
};

use api::{AllowedOrigin, PublicUrl, ShutdownTimeouts, TlsFiles};
use clap::Args;
use service::Limits;
use storage::Memory;

pub(crate) use self::{
    access::Access,
    error::SettingsError,
    file::SettingsFile,
    log::LogFormat,
    redis::RedisSettings,
    roles::{Role, Roles},
    store_config::StoreConfig,
    stores::{PolicyKind, StoreTables, Transfers},
    traces::Traces,
    value::{resolve, split_list},
};
use self::{
    quantity::{seconds, size},
    value::parse,
};

/// The part of the memory for requests that is left to large pieces at least, in bytes.
const LEAST_SHARED_MEMORY: u64 = 16 * 1024 * 1024;

/// The settings of the service.
#[derive(Args, Clone)]
pub(crate) struct Settings {
    /// The address to listen on: `127.0.0.1:8080`, `localhost:8080`, or `:8080` for all addresses of this
    /// machine; port 0 chooses a free port.
    #[arg(long, env = "FILESERVER_LISTEN", default_value = "127.0.0.1:8080", global = true, value_name = "ADDRESS", value_parser = listen)]
    pub(crate) listen: SocketAddr,

    /// The certificate of the server in PEM, followed by those of its issuers: connections then use TLS,
    /// with HTTP/2 or HTTP/1.1. A changed file is read again. Default: none, connections are not
    /// encrypted.
    #[arg(long, env = "FILESERVER_TLS_CERTIFICATE", global = true, value_name = "FILE", value_parser = parse::<PathBuf>)]
    pub(crate) tls_certificate: Option<PathBuf>,

    /// The private key of `--tls-certificate`, in PEM.
    #[arg(long, env = "FILESERVER_TLS_KEY", global = true, value_name = "FILE", value_parser = parse::<PathBuf>)]
    pub(crate) tls_key: Option<PathBuf>,

    /// The folder for all data on this machine.
    #[arg(long, env = "FILESERVER_DATA_DIR", default_value = "./data", global = true, value_name = "FOLDER", value_parser = parse::<PathBuf>)]
    pub(crate) data_dir: PathBuf,

    /// The URL of the database: `sqlite:PATH`, `mysql://...` or `postgres://...`. Default: SQLite in
    /// the data folder.
    #[arg(long, env = "FILESERVER_DATABASE_URL", global = true, hide_env_values = true, hide_default_value = true, value_name = "URL", value_parser = resolve)]
    pub(crate) database_url: Option<String>,

    /// The URLs of the other servers of the database, separated by commas. Any of all servers may be
    /// the primary, which takes writes; the others serve reads.
    #[arg(long, env = "FILESERVER_DATABASE_REPLICAS", global = true, hide_env_values = true, hide_default_value = true, value_delimiter = ',', value_name = "URLS", value_parser = resolve)]
    pub(crate) database_replicas: Vec<String>,

    /// While no database server takes writes: the largest lag, in seconds, that a replica may have
    /// had before, to serve reads.
    #[arg(long, env = "FILESERVER_REPLICA_MAX_LAG", default_value = "5", global = true, value_name = "SECONDS", value_parser = seconds::<u32>)]
    pub(crate) replica_max_lag: u32,

    /// The largest number of connections to each server of the database.
    #[arg(long, env = "FILESERVER_DATABASE_CONNECTIONS", default_value = "10", global = true, value_name = "NUMBER", value_parser = parse::<NonZeroU32>)]
    pub(crate) database_connections: NonZeroU32,

    /// Do not apply missing migrations of the database schema at the start.
    #[arg(long, env = "FILESERVER_NO_MIGRATE", global = true)]
    pub(crate) no_migrate: bool,

    /// Use a data folder whose files this database does not know. They are orphans, which `check`
    /// reports; unfinished uploads are removed after `--orphan-age`.
    #[arg(long, env = "FILESERVER_ADOPT", global = true)]
    pub(crate) adopt: bool,

    #[command(flatten)]
    pub(crate) roles: Roles,

    #[command(flatten)]
    pub(crate) redis: RedisSettings,

    #[command(flatten)]
    pub(crate) access: Access,

    #[command(flatten)]
    pub(crate) transfers: Transfers,

    /// The stores of the settings file and the environment.
    #[arg(skip)]
    pub(crate) stores: StoreTables,

    /// The largest size of an upload, in bytes. Default: no limit.
    #[arg(long, env = "FILESERVER_MAX_UPLOAD_SIZE", global = true, value_name = "BYTES", value_parser = size::<u64>)]
    pub(crate) max_upload_size: Option<u64>,

    /// Time, in seconds, after which an incomplete upload without activity is removed.
    #[arg(long, env = "FILESERVER_UPLOAD_AGE", default_value = "86400", global = true, value_name = "SECONDS", value_parser = seconds::<NonZeroU32>)]
    pub(crate) upload_age: NonZeroU32,

    /// The origins whose pages may use the service (CORS), separated by commas or in repeated flags;
    /// `*` allows all.
    #[arg(long, env = "FILESERVER_CORS_ORIGINS", global = true, value_delimiter = ',', value_name = "ORIGIN", value_parser = resolve)]
    pub(crate) cors_origins: Vec<String>,

    /// The secret key that signs the cursors of listings, in 64 hexadecimal digits; all replicas need
    /// the same key. Default: a random key, stored in the data folder.
    #[arg(long, env = "FILESERVER_CURSOR_KEY", global = true, hide_env_values = true, hide_default_value = true, value_name = "KEY", value_parser = resolve)]
    pub(crate) cursor_key: Option<String>,

    /// The secret keys of links, in 64 hexadecimal digits each, separated by commas; all replicas need
    /// the same keys. The first one signs, and links signed by any of them are valid. Default: a random
    /// key, stored in the data folder.
    #[arg(long, env = "FILESERVER_LINK_KEYS", global = true, hide_env_values = true, hide_default_value = true, value_delimiter = ',', value_name = "KEYS", value_parser = resolve)]
    pub(crate) link_keys: Vec<String>,

    /// The longest lifetime of a link, in seconds.
    #[arg(long, env = "FILESERVER_LINK_AGE", default_value = "604800", global = true, value_name = "SECONDS", value_parser = seconds::<NonZeroU32>)]
    pub(crate) link_age: NonZeroU32,

    /// Time, in seconds, after its last byte in which a visit of a link with a limited number of downloads
    /// can be continued without being counted again.
    #[arg(long, env = "FILESERVER_VISIT_AGE", default_value = "3600", global = true, value_name = "SECONDS", value_parser = seconds::<NonZeroU32>)]
    pub(crate) visit_age: NonZeroU32,

    /// The beginning of all URLs that the service makes, such as `https://files.example.org/store`.
    /// Default: none, the URLs begin with the path.
    #[arg(long, env = "FILESERVER_PUBLIC_URL", global = true, value_name = "URL", value_parser = parse::<PublicUrl>)]
    pub(crate) public_url: Option<PublicUrl>,

    /// The internal location of the objects in the nginx in front (`X-Accel-Redirect`), such as
    /// `/_objects/`; every trusted proxy must be such an nginx. Default: none, the service sends the
    /// bytes itself.
    #[arg(long, env = "FILESERVER_ACCEL_REDIRECT", global = true, value_name = "PATH", value_parser = internal_location)]
    pub(crate) accel_redirect: Option<String>,

    /// Time, in seconds, in which a deleted file can be restored.
    #[arg(long, env = "FILESERVER_DELETED_AGE", default_value = "2592000", global = true, value_name = "SECONDS", value_parser = seconds::<u32>)]
    pub(crate) deleted_age: u32,

    /// Time, in seconds, until the bytes of a content without owners are removed; no download takes
    /// longer to begin.
    #[arg(long, env = "FILESERVER_PURGE_GRACE", default_value = "86400", global = true, value_name = "SECONDS", value_parser = seconds::<u32>)]
    pub(crate) purge_grace: u32,

    /// Time, in seconds, in which a background task reads every content once, to find bytes that changed
    /// in a store; 0 turns it off.
    #[arg(long, env = "FILESERVER_SCRUB_TIME", default_value = "2592000", global = true, value_name = "SECONDS", value_parser = seconds::<u32>)]
    pub(crate) scrub_time: u32,

    /// The number of threads that serve requests. Default: one per processor.
    #[arg(long, env = "FILESERVER_WORKERS", global = true, value_name = "NUMBER", value_parser = parse::<NonZeroU32>)]
    pub(crate) workers: Option<NonZeroU32>,

    /// Time, in seconds, in which new requests are still accepted after a signal to stop. Meanwhile
    /// `/readyz` reports that the service is not ready, and each response closes its connection, so that
    /// load balancers and clients move to other replicas.
    #[arg(long, env = "FILESERVER_DRAIN", default_value = "0", global = true, value_name = "SECONDS", value_parser = seconds::<u32>)]
    pub(crate) drain: u32,

    /// Time, in seconds, that running requests then have to finish.
    #[arg(long, env = "FILESERVER_SHUTDOWN_TIMEOUT", default_value = "30", global = true, value_name = "SECONDS", value_parser = seconds::<u64>)]
    pub(crate) shutdown_timeout: u64,

    #[command(flatten)]
    pub(crate) traces: Traces,

    /// The log filter, such as `info` or `warn,fileserver=debug`.
    // Malformed HTTP is no error of the service, and the libraries' routine messages help no operator.
    #[arg(long, env = "FILESERVER_LOG", default_value = "info,actix_http::h1=off,actix_server=warn,sea_orm_migration=warn,sqlx=warn", global = true, value_name = "FILTER", value_parser = resolve)]
    pub(crate) log: String,

    /// The format of the log, which goes to standard error.
    #[arg(
        long,
        env = "FILESERVER_LOG_FORMAT",
        default_value = "auto",
        global = true,
        value_name = "FORMAT"
    )]
    pub(crate) log_format: LogFormat,
}

impl Settings {
    /// The options of the database.
    pub(crate) fn database(&self) -> persistence::Options {
        let path = || format!("sqlite:{}", self.data_dir.join("fileserver.db").display());
        persistence::Options {
            url: self.database_url.clone().unwrap_or_else(path),
            replicas: split_list(&self.database_replicas),
            max_lag: Duration::from_secs(self.replica_max_lag.into()),
            connections: self.database_connections.get(),
        }
    }

    /// The database's server and its port, or its file: the URL without what is secret.
    pub(crate) fn database_place(&self) -> String {
        let url = self.database().url;
        let (scheme, rest) = url.split_once(':').unwrap_or(("", &url));
        if scheme == "sqlite" {
            return rest.trim_start_matches("//").to_owned();
        }
        // A password may contain any character, encoded or not: all before the last `@` is left out.
        let place = rest.rsplit('@').next().unwrap_or_default();
        let place = place.trim_start_matches('/');
        let host = place.split(['/', '?', '#']).next().unwrap_or_default();
        format!("{scheme}://{host}")
    }

    /// The certificate and its key.
    ///
    /// # Errors
    ///
    /// If there is one without the other.
    pub(crate) fn tls(&self) -> Result<Option<TlsFiles>, SettingsError> {
        match (&self.tls_certificate, &self.tls_key) {
            (Some(certificate), Some(key)) => Ok(Some(TlsFiles {
                certificate: certificate.clone(),
                key: key.clone(),
            })),
            (None, None) => Ok(None),
            (Some(_), None) => Err(SettingsError::new(
                "`tls_certificate` needs the private key of the certificate: set `tls_key`",
            )),
            (None, Some(_)) => Err(SettingsError::new(
                "`tls_key` needs the certificate of the key: set `tls_certificate`",
            )),
        }
    }

    /// The memory for the bytes of requests, without what each upload takes up in any case.
    ///
    /// # Errors
    ///
    /// If it does not suffice for the uploads that can run at the same time.
    pub(crate) fn memory(&self) -> Result<Memory, SettingsError> {
        let uploads = u64::from(self.access.concurrent_uploads.get());
        let least = uploads * Memory::PER_TRANSFER + LEAST_SHARED_MEMORY;
        match self.access.request_memory.checked_sub(least) {
            Some(rest) => Ok(Memory::new(rest + LEAST_SHARED_MEMORY)),
            None => Err(SettingsError::new(format!(
                "`request_memory` must be {least} bytes or more for {uploads} `concurrent_uploads`"
            ))),
        }
    }

    /// The scheme of the service's own URL.
    pub(crate) fn scheme(&self) -> &'static str {
        if self.tls_certificate.is_some() {
            "https"
        } else {
            "http"
        }
    }

    /// The limits of the use cases.
    pub(crate) fn limits(&self) -> Limits {
        Limits {
            max_upload_size: self.max_upload_size,
            upload_age: Duration::from_secs(self.upload_age.get().into()),
            claims_per_minute: self.access.claims_per_minute.get().into(),
            disclosure: self.access.deduplication.into(),
            claim_min_size: self.access.claim_min_size,
            quota: self.access.quota(),
            link_age: Duration::from_secs(self.link_age.get().into()),
            visit_age: Duration::from_secs(self.visit_age.get().into()),
            deleted_age: Duration::from_secs(self.deleted_age.into()),
            purge_grace: Duration::from_secs(self.purge_grace.into()),
            copy_grace: Duration::from_secs(self.transfers.copy_grace.into()),
            scrub_time: Some(Duration::from_secs(self.scrub_time.into()))
                .filter(|time| !time.is_zero()),
            search_entries: Some(self.access.search_entries),
            // The other connections are for what takes less time.
            concurrent_listings: self.database_connections.get() / 2,
            orphan_age: Duration::from_secs(self.transfers.orphan_age.into()),
        }
    }

    /// The origins whose pages may call the service.
    ///
    /// # Errors
    ///
    /// If one is not written as browsers write it.
    pub(crate) fn cors_origins(&self) -> Result<Vec<AllowedOrigin>, SettingsError> {
        let origins = split_list(&self.cors_origins).into_iter();
        let parsed = origins.map(|origin| {
            let origin = origin.parse::<AllowedOrigin>();
            origin.map_err(|error| SettingsError::new(format!("`cors_origins`: {error}")))
        });
        parsed.collect()
    }

    /// Time limits of a shutdown.
    pub(crate) fn shutdown_timeouts(&self) -> ShutdownTimeouts {
        ShutdownTimeouts {
            drain: Duration::from_secs(self.drain.into()),
            requests: Duration::from_secs(self.shutdown_timeout),
        }
    }

    /// Refuses a service without authentication that other machines or all web pages can use.
    ///
    /// # Errors
    ///
    /// If no credentials are required, and the address is not a loopback address, or the origins
    /// are not listed.
    pub(crate) fn refuse_open_access(&self) -> Result<(), SettingsError> {
        if self.access.is_open() && self.cors_origins()?.contains(&AllowedOrigin::Any) {
            return Err(SettingsError::new(
                "without authentication `cors_origins` lists origins, and is not `*`: every web page \
                 could read and change all files",
            ));
        }
        if self.access.is_open() && !self.listen.ip().is_loopback() {
            return Err(SettingsError::new(format!(
                "without authentication the service listens on a loopback address only, not on {}",
                self.listen
            )));
        }
        Ok(())
    }
}

/// Parses an address to listen on; without a host it is every address, and a name is looked up.
fn listen(value: &str) -> Result<SocketAddr, SettingsError> {
    let value = resolve(value)?;
    let text = match value.strip_prefix(':') {
        Some(port) => format!("0.0.0.0:{port}"),
        None => value.clone(),
    };
    let refuse = |reason: &dyn std::fmt::Display| {
        SettingsError::new(format!(
            "`{value}` is not an address such as `127.0.0.1:8080` or `:8080`: {reason}"
        ))
    };
    let found = text.to_socket_addrs().map_err(|error| refuse(&error))?;
    let mut addresses: Vec<SocketAddr> = found.collect();
    // `localhost` is found as both; clients try the older one as well.
    addresses.sort_by_key(SocketAddr::is_ipv6);
    let first = addresses.into_iter().next();
    first.ok_or_else(|| refuse(&"it has no address"))
}

fn internal_location(value: &str) -> Result<String, SettingsError> {
    let value = resolve(value)?;
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"/-_".contains(&byte);
    if !value.starts_with('/') || !value.ends_with('/') || !value.bytes().all(is_allowed) {
        return Err(SettingsError::new(
            "must begin and end with `/`, and contain only letters, digits, `-`, `_` and `/`",
        ));
    }
    Ok(value)
}
