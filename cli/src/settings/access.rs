//! Settings of who may do how much.

use std::{num::NonZeroU32, path::PathBuf, time::Duration};

use api::{Algorithm, JwtSettings, KeySource};
use clap::{Args, ValueEnum};
use domain::Quota;
use ipnet::IpNet;

use super::{SettingsError, each, parse, resolve};

/// The furthest that an issuer's clock may be off.
const MOST_LEEWAY: u32 = 300;

/// Who may do how much.
#[derive(Args, Clone)]
pub(crate) struct Access {
    /// What lets somebody in: `none`, or `token` (made by `fileserver token create`), `jwt` (of an
    /// OpenID Connect issuer), or both, separated by commas.
    #[arg(
        long,
        env = "FILESERVER_AUTH",
        default_value = "none",
        global = true,
        value_delimiter = ',',
        value_name = "WAYS"
    )]
    pub(crate) auth: Vec<Authentication>,

    /// The issuer whose JWTs are accepted, as their `iss` has it.
    #[arg(long, env = "FILESERVER_JWT_ISSUER", global = true, value_name = "ISSUER", value_parser = resolve)]
    pub(crate) jwt_issuer: Option<String>,

    /// What JWTs have to name in `aud`; one of several, separated by commas.
    #[arg(long, env = "FILESERVER_JWT_AUDIENCE", global = true, value_delimiter = ',', value_name = "AUDIENCE", value_parser = resolve)]
    pub(crate) jwt_audience: Vec<String>,

    /// The issuer's keys, a JWK set: a file's path, or an `https://` URL (`http://` on this machine).
    #[arg(long, env = "FILESERVER_JWT_KEYS", global = true, value_name = "PLACE", value_parser = resolve)]
    pub(crate) jwt_keys: Option<String>,

    /// Which algorithms JWTs may be signed with.
    #[arg(
        long,
        env = "FILESERVER_JWT_ALGORITHMS",
        default_value = "RS256,PS256,ES256,EdDSA",
        global = true,
        value_delimiter = ',',
        value_name = "ALGORITHMS"
    )]
    pub(crate) jwt_algorithms: Vec<Algorithm>,

    /// The JWTs' claim that names the owner.
    #[arg(long, env = "FILESERVER_JWT_OWNER_CLAIM", default_value = "sub", global = true, value_name = "CLAIM", value_parser = resolve)]
    pub(crate) jwt_owner_claim: String,

    /// By how many seconds the issuer's clock may be off, at most 300.
    #[arg(long, env = "FILESERVER_JWT_LEEWAY", default_value = "60", global = true, value_name = "SECONDS", value_parser = leeway)]
    pub(crate) jwt_leeway: u32,

    /// The proxies in front of the service, as addresses or networks: what they say about whom a
    /// request comes from is believed.
    #[arg(long, env = "FILESERVER_TRUSTED_PROXIES", global = true, value_delimiter = ',', value_name = "NETWORKS", value_parser = network)]
    pub(crate) trusted_proxies: Vec<IpNet>,

    /// How many bytes an owner's files may have together; unless given, there is no limit.
    #[arg(long, env = "FILESERVER_QUOTA_BYTES", global = true, value_name = "BYTES", value_parser = parse::<u64>)]
    pub(crate) quota_bytes: Option<u64>,

    /// How many files an owner may have; unless given, there is no limit.
    #[arg(long, env = "FILESERVER_QUOTA_FILES", global = true, value_name = "NUMBER", value_parser = parse::<u64>)]
    pub(crate) quota_files: Option<u64>,

    /// How many uploads of an owner may be running; unless given, there is no limit.
    #[arg(long, env = "FILESERVER_QUOTA_UPLOADS", global = true, value_name = "NUMBER", value_parser = parse::<u64>)]
    pub(crate) quota_uploads: Option<u64>,

    /// How many requests an owner may make in a second, and at once; unless given, there is no
    /// limit.
    #[arg(long, env = "FILESERVER_REQUESTS_PER_SECOND", global = true, value_name = "NUMBER", value_parser = parse::<NonZeroU32>)]
    pub(crate) requests_per_second: Option<NonZeroU32>,

    /// How many claims on contents an owner may make in a minute.
    #[arg(long, env = "FILESERVER_CLAIMS_PER_MINUTE", default_value = "300", global = true, value_name = "NUMBER", value_parser = parse::<NonZeroU32>)]
    pub(crate) claims_per_minute: NonZeroU32,

    /// How many uploads this process takes in at a time.
    #[arg(long, env = "FILESERVER_CONCURRENT_UPLOADS", default_value = "1024", global = true, value_name = "NUMBER", value_parser = parse::<NonZeroU32>)]
    pub(crate) concurrent_uploads: NonZeroU32,

    /// How many uploads of one owner this process takes in at a time.
    #[arg(long, env = "FILESERVER_CONCURRENT_UPLOADS_PER_OWNER", default_value = "256", global = true, value_name = "NUMBER", value_parser = parse::<NonZeroU32>)]
    pub(crate) concurrent_uploads_per_owner: NonZeroU32,

    /// How many seconds a request's header may take to come.
    #[arg(long, env = "FILESERVER_HEADER_TIMEOUT", default_value = "10", global = true, value_name = "SECONDS", value_parser = parse::<NonZeroU32>)]
    pub(crate) header_timeout: NonZeroU32,

    /// After how many seconds without a byte a request's body is broken off.
    #[arg(long, env = "FILESERVER_BODY_IDLE_TIMEOUT", default_value = "120", global = true, value_name = "SECONDS", value_parser = parse::<NonZeroU32>)]
    pub(crate) body_idle_timeout: NonZeroU32,

    /// How many bytes of a request's body have to come in a second, on the whole.
    #[arg(long, env = "FILESERVER_BODY_MIN_RATE", default_value = "1024", global = true, value_name = "BYTES", value_parser = parse::<NonZeroU32>)]
    pub(crate) body_min_rate: NonZeroU32,
}

/// What lets somebody in.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Authentication {
    /// Nothing: whoever reaches the service; only on a loopback address.
    None,
    /// A token of the service's.
    Token,
    /// A JWT of an OpenID Connect issuer.
    Jwt,
}

impl Access {
    /// Whether whoever reaches the service is let in.
    pub(super) fn is_open(&self) -> bool {
        self.auth.iter().all(|way| *way == Authentication::None)
    }

    /// Whether the service's own tokens let somebody in.
    pub(crate) fn takes_own_tokens(&self) -> bool {
        self.auth.contains(&Authentication::Token)
    }

    /// Which JWTs let somebody in.
    ///
    /// # Errors
    ///
    /// What is missing for that, or contradicts it.
    pub(crate) fn jwt(&self) -> Result<Option<JwtSettings>, SettingsError> {
        if self.auth.len() > 1 && self.auth.contains(&Authentication::None) {
            return Err(SettingsError::new(
                "`none` cannot stand beside other kinds of credentials",
            ));
        }
        if !self.auth.contains(&Authentication::Jwt) {
            return match (&self.jwt_issuer, &self.jwt_keys) {
                (None, None) if self.jwt_audience.is_empty() => Ok(None),
                _ => Err(SettingsError::new(
                    "settings of JWTs are of no use unless `auth` has `jwt`",
                )),
            };
        }
        let needed = |setting: &Option<String>, name| {
            setting.clone().ok_or_else(|| {
                SettingsError::new(format!("`auth` has `jwt`, and {name} is not set"))
            })
        };
        let keys = needed(&self.jwt_keys, "jwt_keys")?;
        let keys = if keys.contains("://") {
            let url = keys.parse();
            KeySource::Url(
                url.map_err(|error| SettingsError::new(format!("jwt_keys is no URL: {error}")))?,
            )
        } else {
            KeySource::File(PathBuf::from(keys))
        };
        Ok(Some(JwtSettings {
            issuer: needed(&self.jwt_issuer, "jwt_issuer")?,
            audiences: each(&self.jwt_audience),
            keys,
            algorithms: self.jwt_algorithms.clone(),
            owner_claim: self.jwt_owner_claim.clone(),
            leeway: Duration::from_secs(self.jwt_leeway.into()),
        }))
    }

    /// How much an owner may have who has no quota of its own.
    pub(super) fn quota(&self) -> Quota {
        Quota {
            bytes: self.quota_bytes,
            files: self.quota_files,
            uploads: self.quota_uploads,
        }
    }
}

fn leeway(value: &str) -> Result<u32, String> {
    let seconds = parse::<u32>(value)?;
    if seconds > MOST_LEEWAY {
        return Err(format!("it is at most {MOST_LEEWAY}"));
    }
    Ok(seconds)
}

/// A network, or a single address.
fn network(value: &str) -> Result<IpNet, String> {
    let value = resolve(value)?;
    let address = value.parse::<std::net::IpAddr>().map(IpNet::from);
    address
        .or_else(|_| value.parse())
        .map_err(|_| format!("{value} is neither an address nor a network such as 10.0.0.0/8"))
}
