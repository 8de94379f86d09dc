//! What a request asks for.

use std::{borrow::Cow, fmt::Write as _, io};

use actix_web::{
    HttpRequest,
    http::{Method, header::HeaderMap},
};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use crate::error::{Error, Result};

/// What is written as it is in URLs, besides letters and digits.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// Parameters that ask for something else than the bytes of an object or the keys of a bucket,
/// and for which there is nothing here.
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
    /// Where the request was sent to.
    pub(crate) host: String,
    /// The bucket, which is empty in a request about all of them.
    pub(crate) bucket: String,
    /// The key, which is empty in a request about a bucket.
    pub(crate) key: String,
    /// Whether the path ends with the bucket, without a slash.
    pub(crate) without_slash: bool,
    /// The parameters, as they came.
    pub(crate) query: Vec<(String, String)>,
    /// The request as it came.
    pub(crate) http: HttpRequest,
}

/// What can be asked for.
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
    /// Reads what is asked for; the bucket that there is tells whether a host names it.
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
            // As forms do it, which is what the vendor's own client sends.
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

    /// A field of the header, if it is there and text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers().get(name)?.to_str().ok()
    }

    /// A parameter, which may be empty.
    pub(crate) fn parameter(&self, name: &str) -> Option<&str> {
        let found = self.query.iter().find(|(other, _)| other == name);
        found.map(|(_, value)| value.as_str())
    }

    /// A parameter that is a number between one and a limit.
    pub(crate) fn number(&self, name: &str, default: usize, limit: usize) -> Result<usize> {
        let Some(value) = self.parameter(name) else {
            return Ok(default);
        };
        let number = value.parse().ok().filter(|n| (1..=limit).contains(n));
        number.ok_or(Error::InvalidArgument("A number is not within its limits."))
    }

    /// Whether keys are to be percent-encoded in the answer.
    pub(crate) fn encoded(&self) -> Result<bool> {
        match self.parameter("encoding-type") {
            None | Some("") => Ok(false),
            Some("url") => Ok(true),
            Some(_) => Err(Error::InvalidArgument(
                "Invalid Encoding Method specified in Request",
            )),
        }
    }

    /// Whether nothing must be overwritten.
    pub(crate) fn forbids_overwrite(&self) -> bool {
        let forbidden = self.header("x-oss-forbid-overwrite");
        forbidden.is_some_and(|value| value.eq_ignore_ascii_case("true"))
    }

    /// The fields of the header that are stored with an object.
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

    /// The bucket and the key that are to be copied from.
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

    /// What is asked for.
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

/// The bucket that a host names, if it does: `bucket.localhost`, or that which there is before
/// any name at all.
fn bucket_of<'h>(host: &'h str, served: &str) -> Option<&'h str> {
    let (host, _) = host.rsplit_once(':').unwrap_or((host, ""));
    let local = host.strip_suffix(".localhost");
    let local = local.or_else(|| host.strip_suffix(".127.0.0.1"));
    local.or_else(|| {
        let bucket = host.split('.').next()?;
        (bucket == served && bucket.len() < host.len()).then_some(bucket)
    })
}

/// Takes percent-encoding away.
fn decode(text: &str) -> String {
    let decoded = percent_decode_str(text).decode_utf8_lossy();
    Cow::into_owned(decoded)
}

/// Percent-encodes all but letters, digits and `-._~`.
pub(crate) fn percent_encode(text: &str) -> String {
    utf8_percent_encode(text, ENCODED).to_string()
}

/// Writes bytes as hex digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// So many bytes as nobody had before, as hex digits.
pub(crate) fn random_hex(size: usize) -> io::Result<String> {
    let mut bytes = vec![0; size];
    getrandom::fill(&mut bytes).map_err(|error| io::Error::other(error.to_string()))?;
    Ok(hex(&bytes))
}
