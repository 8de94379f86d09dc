//! Parsing requests.

use std::{borrow::Cow, fmt::Write as _, io};

use actix_web::{
    HttpRequest,
    http::{Method, header::HeaderMap},
};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use crate::error::{Error, Result};

/// The characters that are percent-encoded: all but letters, digits and these.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// Parameters that select operations on objects and buckets that the stand-in does not implement.
const UNKNOWN: &[&str] = &[
    "acl",
    "append",
    "asyncFetch",
    "callback",
    "cors",
    "encryption",
    "inventory",
    "lifecycle",
    "link",
    "live",
    "location",
    "logging",
    "policy",
    "qos",
    "referer",
    "replication",
    "requestPayment",
    "restore",
    "stat",
    "symlink",
    "tagging",
    "versionId",
    "versioning",
    "versions",
    "vod",
    "website",
    "worm",
    "x-oss-process",
];

/// A request.
pub(crate) struct Request {
    /// The host that the request was sent to.
    pub(crate) host: String,
    /// The bucket; empty in a request about all buckets.
    pub(crate) bucket: String,
    /// The key; empty in a request about a bucket.
    pub(crate) key: String,
    /// The path ends with the bucket, without a slash.
    pub(crate) without_slash: bool,
    /// The query parameters in their order.
    pub(crate) query: Vec<(String, String)>,
    /// The HTTP request.
    pub(crate) http: HttpRequest,
}

/// The operation of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// `ListObjects` and `ListObjectsV2`.
    ListObjects,
    /// `ListMultipartUploads`.
    ListUploads,
    /// `GetBucketInfo`.
    BucketInfo,
    /// `DeleteMultipleObjects`.
    DeleteObjects,
    /// `GetObject` and `HeadObject`.
    ReadObject,
    /// `PutObject`.
    PutObject,
    /// `CopyObject`.
    CopyObject,
    /// `DeleteObject`.
    DeleteObject,
    /// `InitiateMultipartUpload`.
    BeginUpload,
    /// `UploadPart`.
    PutPart,
    /// `UploadPartCopy`.
    CopyPart,
    /// `CompleteMultipartUpload`.
    CompleteUpload,
    /// `AbortMultipartUpload`.
    AbortUpload,
    /// `ListParts`.
    ListParts,
}

impl Request {
    /// Parses a request. The served bucket tells whether the host contains it.
    pub(crate) fn new(http: HttpRequest, served: &str) -> Self {
        let host = http.headers().get("host");
        let host = host.and_then(|host| host.to_str().ok());
        let host = host.unwrap_or_default().to_owned();
        let path = decode(http.uri().path());
        let path = path.strip_prefix('/').unwrap_or(&path);
        let (bucket, key, without_slash) = if let Some(bucket) = bucket_of(&host, served) {
            (bucket.to_owned(), path.to_owned(), false)
        } else if let Some((bucket, key)) = path.split_once('/') {
            (bucket.to_owned(), key.to_owned(), false)
        } else {
            (path.to_owned(), String::new(), !path.is_empty())
        };
        let query = http.uri().query().unwrap_or_default();
        let pairs = query.split('&').filter(|pair| !pair.is_empty());
        let query = pairs.map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            // The vendor's own client encodes spaces as forms do.
            (
                decode(&name.replace('+', " ")),
                decode(&value.replace('+', " ")),
            )
        });
        Self {
            host,
            bucket,
            key,
            without_slash,
            query: query.collect(),
            http,
        }
    }

    /// The method.
    pub(crate) fn method(&self) -> &Method {
        self.http.method()
    }

    /// The header.
    pub(crate) fn headers(&self) -> &HeaderMap {
        self.http.headers()
    }

    /// A header field, if present and text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers().get(name)?.to_str().ok()
    }

    /// A query parameter, which may be empty.
    pub(crate) fn parameter(&self, name: &str) -> Option<&str> {
        let found = self.query.iter().find(|(other, _)| other == name);
        found.map(|(_, value)| value.as_str())
    }

    /// A numeric query parameter between 1 and a limit.
    pub(crate) fn number(&self, name: &str, default: usize, limit: usize) -> Result<usize> {
        let Some(value) = self.parameter(name) else {
            return Ok(default);
        };
        let number = value.parse().ok().filter(|n| (1..=limit).contains(n));
        number.ok_or(Error::InvalidArgument("A number is not within its limits."))
    }

    /// Returns whether keys are percent-encoded in the response.
    pub(crate) fn encoded(&self) -> Result<bool> {
        match self.parameter("encoding-type") {
            None | Some("") => Ok(false),
            Some("url") => Ok(true),
            Some(_) => Err(Error::InvalidArgument(
                "Invalid Encoding Method specified in Request",
            )),
        }
    }

    /// Returns whether overwriting is forbidden.
    pub(crate) fn forbids_overwrite(&self) -> bool {
        let forbidden = self.header("x-oss-forbid-overwrite");
        forbidden.is_some_and(|value| value.eq_ignore_ascii_case("true"))
    }

    /// The header fields that are stored with an object.
    pub(crate) fn stored_headers(&self) -> Vec<(String, String)> {
        let stored = self.headers().iter().filter(|(name, _)| {
            let name = name.as_str();
            name.starts_with("x-oss-meta-")
                || matches!(
                    name,
                    "cache-control"
                        | "content-disposition"
                        | "content-encoding"
                        | "content-language"
                        | "content-type"
                        | "expires"
                )
        });
        let stored = stored.filter_map(|(name, value)| {
            let value = value.to_str().ok()?;
            Some((name.as_str().to_owned(), value.to_owned()))
        });
        stored.collect()
    }

    /// The bucket and the key of the copy source.
    pub(crate) fn copy_source(&self) -> Result<(String, String)> {
        const INVALID: Error = Error::InvalidArgument(
            "Copy Source must mention the source bucket and key: /sourcebucket/sourcekey.",
        );
        let source = decode(self.header("x-oss-copy-source").unwrap_or_default());
        let source = source.strip_prefix('/').unwrap_or(&source);
        match source.split_once('/') {
            Some((bucket, key)) if !key.is_empty() => Ok((bucket.to_owned(), key.to_owned())),
            _ => Err(INVALID),
        }
    }

    /// Determines the operation.
    pub(crate) fn action(&self) -> Result<Action> {
        if UNKNOWN.iter().any(|name| self.parameter(name).is_some()) {
            return Err(Error::NotImplemented);
        }
        let has = |name| self.parameter(name).is_some();
        let copies = self.headers().contains_key("x-oss-copy-source");
        match (self.method().as_str(), self.key.is_empty()) {
            ("GET", true) if has("bucketInfo") => Ok(Action::BucketInfo),
            ("GET", true) if has("uploads") => Ok(Action::ListUploads),
            ("GET", true) => Ok(Action::ListObjects),
            ("POST", true) if has("delete") => Ok(Action::DeleteObjects),
            ("GET", false) if has("uploadId") => Ok(Action::ListParts),
            ("GET" | "HEAD", false) => Ok(Action::ReadObject),
            ("PUT", false) if has("partNumber") && copies => Ok(Action::CopyPart),
            ("PUT", false) if has("partNumber") => Ok(Action::PutPart),
            ("PUT", false) if copies => Ok(Action::CopyObject),
            ("PUT", false) => Ok(Action::PutObject),
            ("DELETE", false) if has("uploadId") => Ok(Action::AbortUpload),
            ("DELETE", false) => Ok(Action::DeleteObject),
            ("POST", false) if has("uploads") => Ok(Action::BeginUpload),
            ("POST", false) if has("uploadId") => Ok(Action::CompleteUpload),
            _ => Err(Error::NotImplemented),
        }
    }
}

/// The bucket in a host name, if any: of `bucket.localhost`, or the served bucket before any other
/// name.
fn bucket_of<'h>(host: &'h str, served: &str) -> Option<&'h str> {
    let (host, _) = host.rsplit_once(':').unwrap_or((host, ""));
    let local = host.strip_suffix(".localhost");
    let local = local.or_else(|| host.strip_suffix(".127.0.0.1"));
    local.or_else(|| {
        let bucket = host.split('.').next()?;
        (bucket == served && bucket.len() < host.len()).then_some(bucket)
    })
}

/// Decodes percent-encoding.
fn decode(text: &str) -> String {
    let decoded = percent_decode_str(text).decode_utf8_lossy();
    Cow::into_owned(decoded)
}

/// Percent-encodes all but letters, digits and `-._~`.
pub(crate) fn percent_encode(text: &str) -> String {
    utf8_percent_encode(text, ENCODED).to_string()
}

/// Formats bytes as hex digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Returns this number of random bytes as hex digits.
pub(crate) fn random_hex(size: usize) -> io::Result<String> {
    let mut bytes = vec![0; size];
    getrandom::fill(&mut bytes).map_err(|error| io::Error::other(error.to_string()))?;
    Ok(hex(&bytes))
}
