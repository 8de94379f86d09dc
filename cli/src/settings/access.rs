//! Settings of authentication and of limits per owner and request.

use std::{num::NonZeroU32, path::PathBuf, time::Duration};

use api::{Algorithm, JwtSettings, KeySource};
use clap::{Args, ValueEnum};
use domain::Quota;
use ipnet::IpNet;
use service::Disclosure;

use super::{
    SettingsError,
    quantity::{seconds, size},
    value::{parse, resolve, split_list},
};

/// The largest tolerated difference to the issuer's clock, in seconds.
const MAX_LEEWAY: u32 = 300;

/// Authentication, quotas, rates and timeouts.
#[derive(Args, Clone)]
pub(crate) struct Access {
    /// The accepted credentials, separated by commas: `token` (created by `fileserver token create`),
    /// `jwt` (of an OpenID Connect issuer), or `none` for a service without authentication.
    #[arg(
        long,
        env = "FILESERVER_AUTH",
        default_value = "none",
        global = true,
        value_delimiter = ',',
        value_name = "WAYS"
    )]
    pub(crate) auth: Vec<Authentication>,

    /// The issuer whose JWTs are accepted: the exact value of their `iss`.
    #[arg(long, env = "FILESERVER_JWT_ISSUER", global = true, value_name = "ISSUER", value_parser = resolve)]
    pub(crate) jwt_issuer: Option<String>,

    /// The accepted audiences of JWTs, separated by commas; `aud` must contain one of them.
    #[arg(long, env = "FILESERVER_JWT_AUDIENCE", global = true, value_delimiter = ',', value_name = "AUDIENCE", value_parser = resolve)]
    pub(crate) jwt_audience: Vec<String>,

    /// The issuer's keys, a JWK set: the path of a file, or an `https://` URL (`http://` on this machine).
    #[arg(long, env = "FILESERVER_JWT_KEYS", global = true, value_name = "PLACE", value_parser = resolve)]
    pub(crate) jwt_keys: Option<String>,

    /// The accepted signature algorithms of JWTs, separated by commas.
    #[arg(
        long,
        env = "FILESERVER_JWT_ALGORITHMS",
        default_value = "RS256,PS256,ES256,EdDSA",
        global = true,
        value_delimiter = ',',
        value_name = "ALGORITHMS"
    )]
    pub(crate) jwt_algorithms: Vec<Algorithm>,

    /// The claim of JWTs that names the owner.
    #[arg(long, env = "FILESERVER_JWT_OWNER_CLAIM", default_value = "sub", global = true, value_name = "CLAIM", value_parser = resolve)]
    pub(crate) jwt_owner_claim: String,

    /// The tolerated difference to the issuer's clock, in seconds, at most 300.
    #[arg(long, env = "FILESERVER_JWT_LEEWAY", default_value = "60", global = true, value_name = "SECONDS", value_parser = leeway)]
    pub(crate) jwt_leeway: u32,

    /// The proxies in front of the service, as addresses or networks, separated by commas; the client
    /// address that they report is trusted.
    #[arg(long, env = "FILESERVER_TRUSTED_PROXIES", global = true, value_delimiter = ',', value_name = "NETWORKS", value_parser = network)]
    pub(crate) trusted_proxies: Vec<IpNet>,

    /// The quota of an owner, in bytes of all files. Default: no limit.
    #[arg(long, env = "FILESERVER_QUOTA_BYTES", global = true, value_name = "BYTES", value_parser = size::<u64>)]
    pub(crate) quota_bytes: Option<u64>,

    /// The quota of an owner, in files. Default: no limit.
    #[arg(long, env = "FILESERVER_QUOTA_FILES", global = true, value_name = "NUMBER", value_parser = parse::<u64>)]
    pub(crate) quota_files: Option<u64>,

    /// The quota of an owner, in running uploads. Default: no limit.
    #[arg(long, env = "FILESERVER_QUOTA_UPLOADS", global = true, value_name = "NUMBER", value_parser = parse::<u64>)]
    pub(crate) quota_uploads: Option<u64>,

    /// The rate limit of an owner, in requests per second; a burst may have the same number of requests.
    /// Default: no limit.
    #[arg(long, env = "FILESERVER_REQUESTS_PER_SECOND", global = true, value_name = "NUMBER", value_parser = parse::<NonZeroU32>)]
    pub(crate) requests_per_second: Option<NonZeroU32>,

    /// The rate limit of an owner's claims on contents, per minute.
    #[arg(long, env = "FILESERVER_CLAIMS_PER_MINUTE", default_value = "300", global = true, value_name = "NUMBER", value_parser = parse::<NonZeroU32>)]
    pub(crate) claims_per_minute: NonZeroU32,

    /// Whose contents may be noticed by others, since claims on them are granted and uploads of them are
    /// faster.
    #[arg(
        long,
        env = "FILESERVER_DEDUPLICATION",
        default_value = "all",
        global = true,
        value_name = "WHOSE"
    )]
    pub(crate) deduplication: Deduplication,

    /// The smallest content, in bytes, that can be claimed: of smaller ones all possible contents might
    /// be tried.
    #[arg(long, env = "FILESERVER_CLAIM_MIN_SIZE", default_value = "65536", global = true, value_name = "BYTES", value_parser = size::<u64>)]
    pub(crate) claim_min_size: u64,

    /// The largest number of files that one request of a search by name looks at; the page is short
    /// then, and its cursor goes on.
    #[arg(long, env = "FILESERVER_SEARCH_ENTRIES", default_value = "10000", global = true, value_name = "NUMBER", value_parser = parse::<NonZeroU32>)]
    pub(crate) search_entries: NonZeroU32,

    /// The largest number of concurrent uploads to this process.
    #[arg(long, env = "FILESERVER_CONCURRENT_UPLOADS", default_value = "1024", global = true, value_name = "NUMBER", value_parser = parse::<NonZeroU32>)]
    pub(crate) concurrent_uploads: NonZeroU32,

    /// The largest number of concurrent uploads of one owner to this process.
    #[arg(long, env = "FILESERVER_CONCURRENT_UPLOADS_PER_OWNER", default_value = "256", global = true, value_name = "NUMBER", value_parser = parse::<NonZeroU32>)]
    pub(crate) concurrent_uploads_per_owner: NonZeroU32,

    /// The largest number of bytes of requests and responses that the process holds in memory. While they
    /// are taken up, transfers from and to disks move small pieces, and uploads into buckets wait.
    #[arg(long, env = "FILESERVER_REQUEST_MEMORY", default_value = "268435456", global = true, value_name = "BYTES", value_parser = size::<u64>)]
    pub(crate) request_memory: u64,

    /// Timeout of a request's header, and of the first byte of its body, in seconds.
    #[arg(long, env = "FILESERVER_HEADER_TIMEOUT", default_value = "10", global = true, value_name = "SECONDS", value_parser = seconds::<NonZeroU32>)]
    pub(crate) header_timeout: NonZeroU32,

    /// Time without a byte, in seconds, after which a request's body is aborted that has begun.
    #[arg(long, env = "FILESERVER_BODY_IDLE_TIMEOUT", default_value = "120", global = true, value_name = "SECONDS", value_parser = seconds::<NonZeroU32>)]
    pub(crate) body_idle_timeout: NonZeroU32,

    /// The lowest average rate of a request's body, in bytes per second; a slower body is aborted.
    #[arg(long, env = "FILESERVER_BODY_MIN_RATE", default_value = "1024", global = true, value_name = "BYTES", value_parser = size::<NonZeroU32>)]
    pub(crate) body_min_rate: NonZeroU32,
}

/// An accepted kind of credentials.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Authentication {
    /// No credentials are required; allowed on a loopback address only.
    None,
    /// A token of the service.
    Token,
    /// A JWT of an OpenID Connect issuer.
    Jwt,
}

/// Whose contents answer an owner's claims and uploads.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Deduplication {
    /// The contents of all owners.
    All,
    /// The owner's own contents; a content of several owners is still stored once.
    Owner,
    /// None; a content of several owners is still stored once.
    Off,
}

impl From<Deduplication> for Disclosure {
    fn from(deduplication: Deduplication) -> Self {
        match deduplication {
            Deduplication::All => Self::All,
            Deduplication::Owner => Self::Owner,
            Deduplication::Off => Self::Off,
        }
    }
}

impl Access {
    /// Returns whether no credentials are required.
    pub(crate) fn is_open(&self) -> bool {
        self.auth.iter().all(|kind| *kind == Authentication::None)
    }

    /// The credentials that are asked for.
    pub(crate) fn credentials(&self) -> &'static str {
        match (self.is_open(), self.accepts_own_tokens()) {
            (true, _) => "none, everybody on this machine may read and change all files",
            (false, true) if self.auth.contains(&Authentication::Jwt) => "tokens and JWTs",
            (false, true) => "tokens",
            (false, false) => "JWTs",
        }
    }

    /// Returns whether the service's own tokens are accepted.
    pub(crate) fn accepts_own_tokens(&self) -> bool {
        self.auth.contains(&Authentication::Token)
    }

    /// The settings of JWTs, if they are accepted.
    ///
    /// # Errors
    ///
    /// If a setting is missing, malformed, or contradicts another.
    pub(crate) fn jwt(&self) -> Result<Option<JwtSettings>, SettingsError> {
        if self.auth.len() > 1 && self.auth.contains(&Authentication::None) {
            return Err(SettingsError::new(
                "`auth` must not combine `none` with other credentials",
            ));
        }
        if !self.auth.contains(&Authentication::Jwt) {
            return match (&self.jwt_issuer, &self.jwt_keys) {
                (None, None) if self.jwt_audience.is_empty() => Ok(None),
                _ => Err(SettingsError::new(
                    "the settings of JWTs have no effect unless `auth` contains `jwt`",
                )),
            };
        }
        let required = |setting: &Option<String>, name| {
            setting.clone().ok_or_else(|| {
                SettingsError::new(format!("`auth` contains `jwt`, so `{name}` is required"))
            })
        };
        let keys = required(&self.jwt_keys, "jwt_keys")?;
        let keys =
            if keys.contains("://") {
                let url = keys.parse();
                KeySource::Url(url.map_err(|error| {
                    SettingsError::new(format!("`jwt_keys` is not a URL: {error}"))
                })?)
            } else {
                KeySource::File(PathBuf::from(keys))
            };
        Ok(Some(JwtSettings {
            issuer: required(&self.jwt_issuer, "jwt_issuer")?,
            audiences: split_list(&self.jwt_audience),
            keys,
            algorithms: self.jwt_algorithms.clone(),
            owner_claim: self.jwt_owner_claim.clone(),
            leeway: Duration::from_secs(self.jwt_leeway.into()),
        }))
    }

    /// The quota of owners without a quota of their own.
    pub(super) fn quota(&self) -> Quota {
        Quota {
            bytes: self.quota_bytes,
            files: self.quota_files,
            uploads: self.quota_uploads,
        }
    }
}

/// Parses the tolerated difference to the issuer's clock.
fn leeway(value: &str) -> Result<u32, SettingsError> {
    let seconds = parse::<u32>(value)?;
    if seconds > MAX_LEEWAY {
        return Err(SettingsError::new(format!("must be at most {MAX_LEEWAY}")));
    }
    Ok(seconds)
}

/// Parses a network or a single address.
pub(super) fn network(value: &str) -> Result<IpNet, SettingsError> {
    let value = resolve(value)?;
    let address = value.parse::<std::net::IpAddr>().map(IpNet::from);
    address.or_else(|_| value.parse()).map_err(|_| {
        let reason = format!("{value} is neither an address nor a network such as 10.0.0.0/8");
        SettingsError::new(reason)
    })
}
