//! Where the bytes are kept, and where they are copied to.

use std::{
    collections::BTreeMap,
    num::NonZeroU32,
    path::{Path, PathBuf},
    time::Duration,
};

use clap::{Args, ValueEnum};
use domain::Backoff;
use service::{Policy, Stores};
use storage::{Bucket, BucketKind, BucketOptions, Disk, Secret, Store};

use super::{parse, quantity, resolve};

/// The store that there is without any settings.
pub(crate) const DISK: &str = "disk";

/// What the environment's variables of stores begin with.
const VARIABLES: &str = "FILESERVER_STORES_";

/// The longest wait before a copy is tried again.
const LONGEST_WAIT: Duration = Duration::from_hours(1);

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

/// How a store's files reach those who download them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Downloads {
    /// The service sends them; or nginx does, if it is in front.
    Stream,
    /// The client is sent to the store.
    Redirect,
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

    fn open(&self, name: &str) -> Result<Opening, String> {
        let table = self
            .0
            .get(name)
            .ok_or_else(|| format!("the settings have no store `{name}`"))?;
        let told = |reason: String| format!("the store `{name}`: {reason}");
        Said(table).read().map_err(told)
    }

    fn names(&self) -> impl Iterator<Item = &String> {
        self.0.keys()
    }

    /// How a store's files are sent.
    ///
    /// # Errors
    ///
    /// When it is told to do so in a way that there is not.
    pub(crate) fn downloads(&self) -> Result<BTreeMap<String, Downloads>, String> {
        self.0
            .iter()
            .map(|(name, table)| Ok((name.clone(), Said(table).downloads()?)))
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

/// A store as it is to be opened.
enum Opening {
    Disk(PathBuf),
    Bucket(Box<BucketOptions>),
}

impl Opening {
    /// What tells the store from others.
    fn place(&self, data: &Path) -> String {
        match self {
            Self::Disk(path) => data.join(path).display().to_string(),
            Self::Bucket(options) => {
                let prefix = options.prefix.trim_matches('/');
                format!("{}/{}/{prefix}", options.endpoint, options.bucket)
            }
        }
    }
}

/// What is said of one store.
struct Said<'a>(&'a BTreeMap<String, String>);

impl Said<'_> {
    fn get(&self, key: &str) -> Result<Option<String>, String> {
        let resolved = self.0.get(key).map(|value| resolve(value)).transpose();
        resolved.map_err(|reason| format!("`{key}`: {reason}"))
    }

    fn needed(&self, key: &str) -> Result<String, String> {
        self.get(key)?.ok_or_else(|| format!("it needs `{key}`"))
    }

    fn read(&self) -> Result<Opening, String> {
        let kind = match self.needed("kind")?.as_str() {
            "disk" => return Ok(Opening::Disk(self.needed("path")?.into())),
            "s3" => BucketKind::S3,
            "oss" => BucketKind::Oss,
            other => return Err(format!("its kind is `disk`, `s3` or `oss`, not `{other}`")),
        };
        let secret = match self.get("secret_access_key")? {
            Some(secret) => secret,
            None => self.get("access_key_secret")?.ok_or_else(|| {
                "it needs `secret_access_key`, or `access_key_secret`, which is the same".to_owned()
            })?,
        };
        Ok(Opening::Bucket(Box::new(BucketOptions {
            kind,
            endpoint: endpoint(&self.needed("endpoint")?)?,
            bucket: self.needed("bucket")?,
            region: self
                .get("region")?
                .unwrap_or_else(|| "us-east-1".to_owned()),
            access_key_id: self.needed("access_key_id")?,
            secret: Secret::new(secret),
            prefix: self.get("prefix")?.unwrap_or_default(),
            virtual_host: self.virtual_host(kind)?,
            segment_size: self.segment_size(kind)?,
            timeout: self.timeout()?,
        })))
    }

    fn virtual_host(&self, kind: BucketKind) -> Result<bool, String> {
        match self.get("virtual_host")?.as_deref() {
            Some("true") => Ok(true),
            Some("false") => Ok(false),
            Some(_) => Err("`virtual_host` is true or false".to_owned()),
            // Aliyun takes no other, and others seldom take it.
            None => Ok(kind == BucketKind::Oss),
        }
    }

    fn segment_size(&self, kind: BucketKind) -> Result<usize, String> {
        let size = match self.get("segment_size")? {
            Some(size) => quantity::bytes(&size)?,
            None => 16 << 20,
        };
        // Half of it has to be as large as a part may be at least.
        let least = match kind {
            BucketKind::S3 => 10 << 20,
            BucketKind::Oss => 1 << 20,
        };
        if !(least..=1 << 30).contains(&size) {
            return Err(format!(
                "`segment_size` is between {} MiB and 1 GiB",
                least >> 20
            ));
        }
        usize::try_from(size).map_err(|error| error.to_string())
    }

    fn timeout(&self) -> Result<Duration, String> {
        let seconds = match self.get("timeout")? {
            Some(seconds) => seconds
                .parse::<NonZeroU32>()
                .map_err(|error| format!("`timeout`: {error}"))?
                .get(),
            None => 10,
        };
        Ok(Duration::from_secs(seconds.into()))
    }

    fn downloads(&self) -> Result<Downloads, String> {
        match self.get("downloads")?.as_deref() {
            None | Some("stream") => Ok(Downloads::Stream),
            Some("redirect") => Ok(Downloads::Redirect),
            Some(_) => Err("`downloads` is `stream` or `redirect`".to_owned()),
        }
    }
}

fn endpoint(value: &str) -> Result<String, String> {
    let url: reqwest::Url = value
        .parse()
        .map_err(|error| format!("`endpoint` is no URL: {error}"))?;
    let is_plain = url.query().is_none() && url.username().is_empty() && url.password().is_none();
    if !matches!(url.scheme(), "http" | "https") || !is_plain {
        return Err(
            "`endpoint` begins with `https://` or `http://`, and has no credentials".into(),
        );
    }
    Ok(value.trim_end_matches('/').to_owned())
}

impl Transfers {
    /// How often, and after which waits, a copy is tried.
    pub(crate) fn patience(&self) -> Backoff {
        Backoff {
            first: Duration::from_secs(self.transfer_retry.get().into()),
            longest: LONGEST_WAIT,
            tries: self.transfer_attempts.get(),
        }
    }

    /// Opens all stores.
    ///
    /// # Errors
    ///
    /// When the settings do not make sense, or a local disk cannot be used.
    pub(crate) async fn open(&self, tables: &StoreTables, data: &Path) -> Result<Stores, String> {
        let mut all = Vec::new();
        let mut places = BTreeMap::new();
        for name in tables.names() {
            let opening = tables.open(name)?;
            // What one of them has would look left behind to the other.
            if let Some(other) = places.insert(opening.place(data), name) {
                return Err(format!(
                    "the stores `{other}` and `{name}` are the same place"
                ));
            }
            all.push(match opening {
                // A path that is not absolute is one in the data folder.
                Opening::Disk(path) => open_disk(name, &data.join(path)).await?,
                Opening::Bucket(options) => {
                    Store::Bucket(Bucket::new(name, *options).map_err(|error| told(name, &error))?)
                }
            });
        }
        let is_named = all.iter().any(|store| store.name() == DISK);
        // What was uploaded before there was another store is there still.
        if !is_named && (self.primary == DISK || data.join("objects").is_dir()) {
            all.push(open_disk(DISK, data).await?);
        }
        let find = |name: &str| {
            let found = all.iter().find(|store| store.name() == name).cloned();
            found.ok_or_else(|| format!("the settings have no store `{name}`"))
        };
        let primary = find(&self.primary)?;
        let policy = match (self.transfer_policy, &self.transfer_to) {
            (PolicyKind::None, _) => None,
            (_, None) => return Err("`transfer_policy` needs `transfer_to`".to_owned()),
            (kind, Some(to)) => {
                if *find(to)?.name() == self.primary {
                    return Err("`transfer_to` is another store than `primary`".to_owned());
                }
                Some(Policy {
                    to: to.clone(),
                    keeps_source: kind == PolicyKind::Copy,
                })
            }
        };
        Ok(Stores::new(primary, all, policy))
    }
}

async fn open_disk(name: &str, path: &Path) -> Result<Store, String> {
    let opened = Disk::open(name, path).await;
    opened.map(Store::Disk).map_err(|error| told(name, &error))
}

fn told(name: &str, error: &storage::Error) -> String {
    format!("the store `{name}`: {}", crate::problem::Causes(error))
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
        let Opening::Bucket(options) = tables(&CEPH).open("ceph").unwrap() else {
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
            tables(&said).open("ceph").err().unwrap()
        };
        assert!(refusal("CEPH_KIND", "tape").contains("tape"));
        assert!(refusal("CEPH_ENDPOINT", "here").contains("endpoint"));
        assert!(refusal("CEPH_ENDPOINT", "http://a:b@c").contains("credentials"));
        assert!(refusal("CEPH_SEGMENT_SIZE", "1MiB").contains("10 MiB"));
        assert!(refusal("CEPH_TIMEOUT", "0").contains("timeout"));
        assert!(tables(&CEPH[..4]).open("ceph").is_err());
        let mut tables = StoreTables::default();
        assert!(tables.set("a_b", "kind", String::new()).is_err());
        assert!(tables.set("a", "colour", String::new()).is_err());
    }
}
