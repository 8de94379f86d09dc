//! The options of a bucket.

use std::{fmt, time::Duration};

/// The protocol of a bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BucketKind {
    /// Amazon's S3, also spoken by Ceph and many others.
    S3,
    /// Aliyun's OSS.
    Oss,
}

/// The options of a bucket.
#[derive(Debug, Clone)]
pub struct BucketOptions {
    /// The protocol.
    pub kind: BucketKind,
    /// The endpoint: scheme, host and port.
    pub endpoint: String,
    /// The bucket's name.
    pub bucket: String,
    /// The region that requests are signed for. OSS does not use it.
    pub region: String,
    /// The access key's ID.
    pub access_key_id: String,
    /// The access key's secret.
    pub secret: Secret,
    /// The prefix of all keys of the store. If it is empty, the store is the whole bucket.
    pub prefix: String,
    /// The bucket is part of the host name, not of the path.
    pub virtual_host: bool,
    /// The maximum number of bytes of a resumable upload that can be lost. A part of a large object
    /// has half as many.
    pub segment_size: usize,
    /// Time to wait for the response to a request, or for the next bytes of a response.
    pub timeout: Duration,
}

/// A secret, which is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a secret.
    #[must_use]
    pub fn new(secret: String) -> Self {
        Self(secret)
    }

    pub(super) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}
