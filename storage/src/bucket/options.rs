//! How a bucket is reached.

use std::{fmt, time::Duration};

/// What a bucket's requests look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BucketKind {
    /// Amazon's S3, which Ceph and many others speak.
    S3,
    /// Aliyun's OSS.
    Oss,
}

/// How a bucket is reached.
#[derive(Debug, Clone)]
pub struct BucketOptions {
    /// What its requests look like.
    pub kind: BucketKind,
    /// Where it is: scheme, host and port.
    pub endpoint: String,
    /// What it is called.
    pub bucket: String,
    /// The region that requests are signed for; OSS has none.
    pub region: String,
    /// Who asks.
    pub access_key_id: String,
    /// What proves it.
    pub secret: Secret,
    /// The folder in the bucket that is the store's; all of it unless there is one.
    pub prefix: String,
    /// Whether the bucket is part of the host's name, not of the path.
    pub virtual_host: bool,
    /// How many bytes a part of a large object has: also the most that are lost of a resumable
    /// upload.
    pub segment_size: usize,
    /// How long one request may be without an answer, or one answer without its next bytes.
    pub timeout: Duration,
}

/// Something that is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Keeps a secret.
    #[must_use]
    pub fn new(secret: String) -> Self {
        Self(secret)
    }

    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}
