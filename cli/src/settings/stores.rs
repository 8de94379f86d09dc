//! Settings of the stores, and of the transfers between them.

use std::{collections::BTreeMap, num::NonZeroU32, time::Duration};

use api::{DISK, DownloadMode};
use clap::{Args, ValueEnum};
use domain::Backoff;

use super::{
    SettingsError,
    quantity::{seconds, size},
    store_config::StoreConfig,
    value::{parse, resolve},
};

/// The prefix of the environment variables of stores.
const VARIABLE_PREFIX: &str = "FILESERVER_STORES_";

/// The longest wait between two attempts of a copy.
const MAX_RETRY_DELAY: Duration = Duration::from_hours(1);

/// The keys of stores; of keys with the same end, the longer comes first.
const KEYS: [&str; 13] = [
    "secret_access_key",
    "access_key_secret",
    "access_key_id",
    "segment_size",
    "virtual_host",
    "downloads",
    "endpoint",
    "timeout",
    "bucket",
    "prefix",
    "region",
    "kind",
    "path",
];

/// The store of uploads, and the transfers to other stores.
#[derive(Args, Clone)]
pub(crate) struct Transfers {
    /// The store that receives uploads: `disk`, which is in the data folder, or one of the settings.
    #[arg(long, env = "FILESERVER_PRIMARY", default_value = DISK, global = true, value_name = "STORE", value_parser = resolve)]
    pub(crate) primary: String,

    /// The treatment of an upload after the response to its client: it stays in its store (`none`), is
    /// moved to another store (`move`), or is copied to another store (`copy`).
    #[arg(
        long,
        env = "FILESERVER_TRANSFER_POLICY",
        default_value = "none",
        global = true,
        value_name = "POLICY"
    )]
    pub(crate) transfer_policy: PolicyKind,

    /// The store that uploads are moved or copied to.
    #[arg(long, env = "FILESERVER_TRANSFER_TO", global = true, value_name = "STORE", value_parser = resolve)]
    pub(crate) transfer_to: Option<String>,

    /// The URL of the `RabbitMQ` that delivers jobs to the workers, `amqp://...`. Default: none, workers
    /// poll the database. On the command line, write it as `env:NAME` or `file:PATH`, since it
    /// contains a password.
    #[arg(long, env = "FILESERVER_TRANSFER_BROKER", global = true, hide_env_values = true, hide_default_value = true, value_name = "URL", value_parser = resolve)]
    pub(crate) transfer_broker: Option<String>,

    /// The prefix of the broker's queues; services that share a broker need different prefixes.
    #[arg(long, env = "FILESERVER_TRANSFER_QUEUE", default_value = "fileserver", global = true, value_name = "NAME", value_parser = resolve)]
    pub(crate) transfer_queue: String,

    /// The largest number of concurrent copies of a process.
    #[arg(long, env = "FILESERVER_TRANSFER_COPIES", default_value = "8", global = true, value_name = "NUMBER", value_parser = parse::<NonZeroU32>)]
    pub(crate) transfer_copies: NonZeroU32,

    /// The number of attempts of a copy, after which it is dead until an operator requeues it.
    #[arg(long, env = "FILESERVER_TRANSFER_ATTEMPTS", default_value = "12", global = true, value_name = "NUMBER", value_parser = parse::<NonZeroU32>)]
    pub(crate) transfer_attempts: NonZeroU32,

    /// The longest wait, in seconds, before the second attempt of a copy; each later wait doubles it.
    #[arg(long, env = "FILESERVER_TRANSFER_RETRY", default_value = "5", global = true, value_name = "SECONDS", value_parser = seconds::<NonZeroU32>)]
    pub(crate) transfer_retry: NonZeroU32,

    /// Time, in seconds, until the old copy of a moved file is removed, for running downloads.
    #[arg(long, env = "FILESERVER_COPY_GRACE", default_value = "3600", global = true, value_name = "SECONDS", value_parser = seconds::<u32>)]
    pub(crate) copy_grace: u32,

    /// The free space, in bytes, that uploads leave on a local disk, but at most a twentieth of it, so
    /// that files can still be deleted and renamed.
    #[arg(long, env = "FILESERVER_DISK_RESERVE", default_value = "268435456", global = true, value_name = "BYTES", value_parser = size::<u64>)]
    pub(crate) disk_reserve: u64,

    /// The age, in seconds, from which an object that no row points at is an orphan.
    #[arg(long, env = "FILESERVER_ORPHAN_AGE", default_value = "86400", global = true, value_name = "SECONDS", value_parser = seconds::<u32>)]
    pub(crate) orphan_age: u32,
}

/// The treatment of uploads.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum PolicyKind {
    /// They stay where they are.
    None,
    /// They are moved.
    Move,
    /// They are copied.
    Copy,
}

/// The stores by name, with the keys and values of each.
#[derive(Clone, Default)]
pub(crate) struct StoreTables(BTreeMap<String, BTreeMap<String, String>>);

impl StoreTables {
    /// Sets a key of a store.
    ///
    /// # Errors
    ///
    /// If the name is not a valid name of a store, or stores have no such key.
    pub(crate) fn set(
        &mut self,
        name: &str,
        key: &str,
        value: String,
    ) -> Result<(), SettingsError> {
        let is_allowed =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if name.is_empty() || name.len() > 64 || !name.bytes().all(is_allowed) {
            return Err(SettingsError::new(format!(
                "the name of a store has 1 to 64 lower-case letters, digits and `-`, not `{name}`"
            )));
        }
        if !KEYS.contains(&key) {
            let keys = KEYS.join(", ");
            let reason = format!("a store has no key `{key}`; the keys are {keys}");
            return Err(SettingsError::new(reason));
        }
        let table = self.0.entry(name.to_owned()).or_default();
        table.insert(key.to_owned(), value);
        Ok(())
    }

    /// Reads the environment variables of stores: `FILESERVER_STORES_CEPH_ENDPOINT` is the `endpoint`
    /// of `ceph`. Variables of another form are ignored.
    ///
    /// # Errors
    ///
    /// If a variable names a store that cannot be named so.
    pub(crate) fn read_environment(
        &mut self,
        variables: impl Iterator<Item = (String, String)>,
    ) -> Result<(), SettingsError> {
        for (variable, value) in variables {
            if let Some((name, key)) = split_variable(&variable) {
                self.set(&name, key, value)?;
            }
        }
        Ok(())
    }

    /// Returns whether an environment variable sets a key of a store.
    pub(crate) fn is_variable(name: &str) -> bool {
        split_variable(name).is_some()
    }

    /// The names of the stores.
    pub(crate) fn names(&self) -> impl Iterator<Item = &String> {
        self.0.keys()
    }

    /// The configuration of a store.
    ///
    /// # Errors
    ///
    /// If there is no such store, or its settings are incomplete or malformed.
    pub(crate) fn config(&self, name: &str) -> Result<StoreConfig, SettingsError> {
        let table = self
            .0
            .get(name)
            .ok_or_else(|| SettingsError::new(format!("the settings have no store `{name}`")))?;
        StoreConfig::read(table)
            .map_err(|reason| SettingsError::new(format!("the store `{name}`: {reason}")))
    }

    /// The way in which each store's files reach the clients that download them.
    ///
    /// # Errors
    ///
    /// If the settings of a store are incomplete or malformed.
    pub(crate) fn downloads(&self) -> Result<BTreeMap<String, DownloadMode>, SettingsError> {
        let names = self.names();
        names
            .map(|name| Ok((name.clone(), self.config(name)?.downloads())))
            .collect()
    }
}

fn split_variable(variable: &str) -> Option<(String, &'static str)> {
    let rest = variable.strip_prefix(VARIABLE_PREFIX)?.to_ascii_lowercase();
    KEYS.into_iter().find_map(|key| {
        let name = rest.strip_suffix(key)?.strip_suffix('_')?;
        (!name.is_empty()).then(|| (name.replace('_', "-"), key))
    })
}

impl Transfers {
    /// Waits between the attempts of a copy, and their number.
    pub(crate) fn backoff(&self) -> Backoff {
        Backoff {
            first: Duration::from_secs(self.transfer_retry.get().into()),
            longest: MAX_RETRY_DELAY,
            tries: self.transfer_attempts.get(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tables(pairs: &[(&str, &str)]) -> StoreTables {
        let mut tables = StoreTables::default();
        let variables = pairs
            .iter()
            .map(|(name, value)| (format!("{VARIABLE_PREFIX}{name}"), (*value).to_owned()));
        tables.read_environment(variables).unwrap();
        tables
    }

    const CEPH: [(&str, &str); 5] = [
        ("CEPH_KIND", "s3"),
        ("CEPH_ENDPOINT", "http://127.0.0.1:7480/"),
        ("CEPH_BUCKET", "files"),
        ("CEPH_ACCESS_KEY_ID", "who"),
        ("CEPH_SECRET_ACCESS_KEY", "proof"),
    ];

    #[test]
    fn a_store_is_configured_by_the_environment() {
        let StoreConfig::Bucket { options, .. } = tables(&CEPH).config("ceph").unwrap() else {
            panic!("not a bucket");
        };
        assert_eq!(options.endpoint, "http://127.0.0.1:7480");
        assert_eq!(options.access_key_id, "who");
        assert_eq!(options.segment_size, 16 << 20);
        assert!(!format!("{options:?}").contains("proof"));
        assert!(StoreTables::is_variable("FILESERVER_STORES_CEPH_KIND"));
        assert!(!StoreTables::is_variable("FILESERVER_STORES_CEPH_KINDS"));
        assert!(!StoreTables::is_variable("FILESERVER_STORES_KIND"));
    }

    #[test]
    fn malformed_keys_are_reported() {
        let refusal = |key: &str, value: &str| {
            let pairs: Vec<_> = CEPH.into_iter().chain([(key, value)]).collect();
            tables(&pairs).config("ceph").err().unwrap().to_string()
        };
        assert!(refusal("CEPH_KIND", "tape").contains("tape"));
        assert!(refusal("CEPH_ENDPOINT", "here").contains("endpoint"));
        assert!(refusal("CEPH_ENDPOINT", "http://a:b@c").contains("credentials"));
        assert!(refusal("CEPH_SEGMENT_SIZE", "1MiB").contains("10 MiB"));
        assert!(refusal("CEPH_TIMEOUT", "0").contains("timeout"));
        assert!(tables(&CEPH[..4]).config("ceph").is_err());
        let mut tables = StoreTables::default();
        assert!(tables.set("a_b", "kind", String::new()).is_err());
        assert!(tables.set("a", "colour", String::new()).is_err());
    }
}
