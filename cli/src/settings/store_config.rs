//! The configuration of one store.

use std::{
    collections::BTreeMap,
    fmt,
    num::NonZeroU32,
    path::{Path, PathBuf},
    str::FromStr,
    time::Duration,
};

use api::DownloadMode;
use serde::{
    Deserialize, Deserializer,
    de::{Error as _, IntoDeserializer as _, value::Error as ValueError},
};
use storage::{BucketKind, BucketOptions, Secret};

use super::{SettingsError, quantity, value::resolve};

/// A store to open, and the way in which its files reach the clients that download them.
pub(crate) enum StoreConfig {
    /// A folder on a local disk.
    Disk {
        path: PathBuf,
        downloads: DownloadMode,
    },
    /// A bucket.
    Bucket {
        options: Box<BucketOptions>,
        downloads: DownloadMode,
    },
}

/// The keys of a store, by its kind.
#[derive(Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
enum StoreTable {
    Disk(DiskTable),
    S3(BucketTable),
    Oss(BucketTable),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DiskTable {
    path: PathBuf,
    #[serde(default)]
    downloads: Downloads,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BucketTable {
    #[serde(deserialize_with = "endpoint")]
    endpoint: String,
    bucket: String,
    #[serde(default = "default_region")]
    region: String,
    access_key_id: String,
    #[serde(alias = "access_key_secret")]
    secret_access_key: String,
    #[serde(default)]
    prefix: String,
    #[serde(default, deserialize_with = "boolean")]
    virtual_host: Option<bool>,
    #[serde(default = "default_segment_size", deserialize_with = "segment_size")]
    segment_size: u64,
    #[serde(default = "default_timeout", deserialize_with = "timeout")]
    timeout: Duration,
    #[serde(default)]
    downloads: Downloads,
}

#[derive(Default, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Downloads {
    #[default]
    Stream,
    Redirect,
}

impl StoreConfig {
    /// Reads the keys of a store.
    ///
    /// # Errors
    ///
    /// If a key is missing, unknown to this kind of store, or malformed.
    pub(super) fn read(table: &BTreeMap<String, String>) -> Result<Self, SettingsError> {
        let mut resolved = BTreeMap::new();
        for (key, value) in table {
            let value =
                resolve(value).map_err(|error| SettingsError::new(format!("`{key}`: {error}")))?;
            resolved.insert(key.clone(), value);
        }
        let table = StoreTable::deserialize(resolved.into_deserializer());
        match table.map_err(|error: ValueError| SettingsError::new(error.to_string()))? {
            StoreTable::Disk(DiskTable { path, downloads }) => Ok(Self::Disk {
                path,
                downloads: downloads.into(),
            }),
            StoreTable::S3(table) => table.read(BucketKind::S3),
            StoreTable::Oss(table) => table.read(BucketKind::Oss),
        }
    }

    /// The way in which the store's files reach the clients that download them.
    pub(super) fn downloads(&self) -> DownloadMode {
        match self {
            Self::Disk { downloads, .. } | Self::Bucket { downloads, .. } => *downloads,
        }
    }

    /// Identifies the location of the objects, which two stores must not share.
    pub(crate) fn location(&self, data: &Path) -> String {
        match self {
            Self::Disk { path, .. } => data.join(path).display().to_string(),
            Self::Bucket { options, .. } => {
                let prefix = options.prefix.trim_matches('/');
                format!("{}/{}/{prefix}", options.endpoint, options.bucket)
            }
        }
    }
}

impl BucketTable {
    fn read(self, kind: BucketKind) -> Result<StoreConfig, SettingsError> {
        // One half of a segment is at least as large as the smallest part of a multipart upload.
        let smallest: u64 = match kind {
            BucketKind::S3 => 10 << 20,
            BucketKind::Oss => 1 << 20,
        };
        if !(smallest..=1 << 30).contains(&self.segment_size) {
            let smallest = smallest >> 20;
            return Err(SettingsError::new(format!(
                "`segment_size` must be between {smallest} MiB and 1 GiB"
            )));
        }
        let options = BucketOptions {
            kind,
            endpoint: self.endpoint,
            bucket: self.bucket,
            region: self.region,
            access_key_id: self.access_key_id,
            secret: Secret::new(self.secret_access_key),
            prefix: self.prefix,
            // Aliyun accepts no other addressing, and other services rarely accept it.
            virtual_host: self.virtual_host.unwrap_or(kind == BucketKind::Oss),
            segment_size: usize::try_from(self.segment_size)
                .map_err(|error| SettingsError::new(format!("`segment_size`: {error}")))?,
            timeout: self.timeout,
        };
        Ok(StoreConfig::Bucket {
            options: Box::new(options),
            downloads: self.downloads.into(),
        })
    }
}

impl From<Downloads> for DownloadMode {
    fn from(downloads: Downloads) -> Self {
        match downloads {
            Downloads::Stream => Self::Stream,
            Downloads::Redirect => Self::Redirect,
        }
    }
}

fn default_region() -> String {
    "us-east-1".to_owned()
}

const fn default_segment_size() -> u64 {
    16 << 20
}

const fn default_timeout() -> Duration {
    Duration::from_secs(10)
}

fn endpoint<'a, D: Deserializer<'a>>(deserializer: D) -> Result<String, D::Error> {
    let value = String::deserialize(deserializer)?;
    let url: reqwest::Url = value
        .parse()
        .map_err(|error| D::Error::custom(format!("`endpoint` is not a URL: {error}")))?;
    let is_plain = url.query().is_none() && url.username().is_empty() && url.password().is_none();
    if !matches!(url.scheme(), "http" | "https") || !is_plain {
        return Err(D::Error::custom(
            "`endpoint` must begin with `https://` or `http://`, and must not contain credentials",
        ));
    }
    Ok(value.trim_end_matches('/').to_owned())
}

fn boolean<'a, D: Deserializer<'a>>(deserializer: D) -> Result<Option<bool>, D::Error> {
    parsed(deserializer, "virtual_host").map(Some)
}

fn segment_size<'a, D: Deserializer<'a>>(deserializer: D) -> Result<u64, D::Error> {
    let value = String::deserialize(deserializer)?;
    quantity::bytes(&value).map_err(|reason| D::Error::custom(format!("`segment_size`: {reason}")))
}

fn timeout<'a, D: Deserializer<'a>>(deserializer: D) -> Result<Duration, D::Error> {
    let seconds: NonZeroU32 = parsed(deserializer, "timeout")?;
    Ok(Duration::from_secs(seconds.get().into()))
}

fn parsed<'a, D, T>(deserializer: D, key: &str) -> Result<T, D::Error>
where
    D: Deserializer<'a>,
    T: FromStr<Err: fmt::Display>,
{
    let value = String::deserialize(deserializer)?;
    let parsed = value.parse();
    parsed.map_err(|error| D::Error::custom(format!("`{key}`: {error}")))
}
