//! Where the bytes are kept, and where they are copied to.

use std::{collections::BTreeMap, num::NonZeroU32, time::Duration};

use api::{DISK, DownloadMode};
use clap::{Args, ValueEnum};
use domain::Backoff;

use super::{SettingsError, parse, resolve, store_config::StoreConfig};

/// What the environment's variables of stores begin with.
const VARIABLES: &str = "FILESERVER_STORES_";

/// The longest wait before a copy is tried again.
const MAX_RETRY_WAIT: Duration = Duration::from_hours(1);

/// What a store can be told; the longest of those that end alike come first.
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

/// Where uploads go, and where they are copied to.
#[derive(Args, Clone)]
pub(crate) struct Transfers {
    /// The store that takes what is uploaded: `disk`, which is in the data folder, or one that the
    /// settings name.
    #[arg(long, env = "FILESERVER_PRIMARY", default_value = DISK, global = true, value_name = "STORE", value_parser = resolve)]
    pub(crate) primary: String,

    /// What becomes of an upload once its client has been answered: it stays where it is (`none`),
    /// it is moved to another store (`move`), or another store gets a copy (`copy`).
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

    /// The `RabbitMQ` that carries jobs to the workers, `amqp://...`; unless given, they find them in
    /// the database. On the command line it is `env:NAME` or `file:PATH`, since it has a password.
    #[arg(long, env = "FILESERVER_TRANSFER_BROKER", global = true, hide_env_values = true, hide_default_value = true, value_name = "URL", value_parser = resolve)]
    pub(crate) transfer_broker: Option<String>,

    /// What the broker's queues are called by; services that share a broker need one each.
    #[arg(long, env = "FILESERVER_TRANSFER_QUEUE", default_value = "fileserver", global = true, value_name = "NAME", value_parser = resolve)]
    pub(crate) transfer_queue: String,

    /// How many copies a process makes at a time.
    #[arg(long, env = "FILESERVER_TRANSFER_COPIES", default_value = "8", global = true, value_name = "NUMBER", value_parser = parse::<NonZeroU32>)]
    pub(crate) transfer_copies: NonZeroU32,

    /// How often a copy is tried before it waits for somebody to look at it.
    #[arg(long, env = "FILESERVER_TRANSFER_ATTEMPTS", default_value = "12", global = true, value_name = "NUMBER", value_parser = parse::<NonZeroU32>)]
    pub(crate) transfer_attempts: NonZeroU32,

    /// How many seconds to wait at most before a copy is tried a second time; later waits double.
    #[arg(long, env = "FILESERVER_TRANSFER_RETRY", default_value = "5", global = true, value_name = "SECONDS", value_parser = parse::<NonZeroU32>)]
    pub(crate) transfer_retry: NonZeroU32,

    /// How many seconds the old copy stays of what was moved, for the downloads that run.
    #[arg(long, env = "FILESERVER_COPY_GRACE", default_value = "3600", global = true, value_name = "SECONDS", value_parser = parse::<u32>)]
    pub(crate) copy_grace: u32,

    /// How many seconds old an object has to be, to which no row leads, to be taken for left behind.
    #[arg(long, env = "FILESERVER_ORPHAN_AGE", default_value = "86400", global = true, value_name = "SECONDS", value_parser = parse::<u32>)]
    pub(crate) orphan_age: u32,
}

/// What becomes of uploads.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum PolicyKind {
    /// They stay where they are.
    None,
    /// They are moved.
    Move,
    /// They are copied.
    Copy,
}

/// The stores that are named, and what is said of each.
#[derive(Clone, Default)]
pub(crate) struct StoreTables(BTreeMap<String, BTreeMap<String, String>>);

impl StoreTables {
    /// Notes what is said of a store.
    ///
    /// # Errors
    ///
    /// When no store is called so, or can be told that.
    pub(crate) fn set(&mut self, name: &str, key: &str, value: String) -> Result<(), String> {
        let is_plain =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if name.is_empty() || name.len() > 64 || !name.bytes().all(is_plain) {
            return Err(format!(
                "a store's name has lower-case letters, digits and `-`, not `{name}`"
            ));
        }
        if !KEYS.contains(&key) {
            let keys = KEYS.join(", ");
            return Err(format!("a store has no `{key}`; there are {keys}"));
        }
        let table = self.0.entry(name.to_owned()).or_default();
        table.insert(key.to_owned(), value);
        Ok(())
    }

    /// Reads what the environment says of stores: `FILESERVER_STORES_CEPH_ENDPOINT` is the
    /// `endpoint` of `ceph`.
    ///
    /// # Errors
    ///
    /// When a variable looks like a store's, and is none.
    pub(crate) fn read_environment(
        &mut self,
        variables: impl Iterator<Item = (String, String)>,
    ) -> Result<(), String> {
        for (variable, value) in variables {
            if let Some((name, key)) = split_variable(&variable) {
                self.set(&name, key, value)?;
            }
        }
        Ok(())
    }

    /// Whether a variable of the environment is about a store.
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

    /// How each store's files reach the clients that download them.
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
    let rest = variable.strip_prefix(VARIABLES)?.to_ascii_lowercase();
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
            longest: MAX_RETRY_WAIT,
            tries: self.transfer_attempts.get(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tables(said: &[(&str, &str)]) -> StoreTables {
        let mut tables = StoreTables::default();
        let variables = said
            .iter()
            .map(|(name, value)| (format!("{VARIABLES}{name}"), (*value).to_owned()));
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
    fn a_store_can_be_told_by_the_environment() {
        let StoreConfig::Bucket { options, .. } = tables(&CEPH).config("ceph").unwrap() else {
            panic!("it is a bucket");
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
    fn what_makes_no_sense_is_told() {
        let refusal = |key: &str, value: &str| {
            let said: Vec<_> = CEPH.into_iter().chain([(key, value)]).collect();
            tables(&said).config("ceph").err().unwrap().to_string()
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
