//! Error messages for the operator of a bucket.

use std::io;

use opendal::{Error as OpendalError, ErrorKind};

use super::options::BucketOptions;
use crate::error::Error;

/// The maximum number of characters of the store's own message that are repeated.
const MAX_MESSAGE: usize = 300;

/// Returns whether the object is missing, or the bucket: some responses are the same for both.
pub(super) fn is_missing(error: &OpendalError) -> bool {
    error.kind() == ErrorKind::NotFound && !mentions(error, "NoSuchBucket")
}

/// Builds an error that names the store and the cause, and never a secret.
pub(super) fn explain(
    store: &str,
    options: &BucketOptions,
    error: &OpendalError,
    is_listing: bool,
) -> Error {
    let no_bucket =
        mentions(error, "NoSuchBucket") || (is_listing && error.kind() == ErrorKind::NotFound);
    let (bucket, endpoint) = (&options.bucket, &options.endpoint);
    let cause = if no_bucket {
        format!("there is no bucket {bucket} at {endpoint}")
    } else if mentions(error, "RequestTimeTooSkewed") {
        "this machine's clock is too far from the store's".to_owned()
    } else if mentions(error, "InvalidAccessKeyId") {
        "the store does not know the access key".to_owned()
    } else if mentions(error, "SignatureDoesNotMatch") {
        "the secret key is not that of the access key".to_owned()
    } else if is_full(error) {
        let full = io::Error::other(format!("the store {store} is full"));
        return Error::Full(full);
    } else if error.kind() == ErrorKind::PermissionDenied {
        "the store denies access".to_owned()
    } else if error.message().contains("timeout") {
        format!("{endpoint} does not answer in time")
    } else if is_unreachable(error) {
        format!("{endpoint} cannot be reached")
    } else {
        format!("{endpoint} failed")
    };
    let message: String = error_chain(error).chars().take(MAX_MESSAGE).collect();
    Error::Unavailable(io::Error::other(format!(
        "the store {store}: {cause} ({message})"
    )))
}

fn is_full(error: &OpendalError) -> bool {
    ["QuotaExceeded", "InsufficientStorage", "StorageFull"]
        .iter()
        .any(|code| mentions(error, code))
}

fn is_unreachable(error: &OpendalError) -> bool {
    error.message() == "send http request"
}

fn mentions(error: &OpendalError, code: &str) -> bool {
    error.message().contains(code)
}

fn error_chain(error: &OpendalError) -> String {
    match std::error::Error::source(error) {
        Some(source) => {
            let mut text = error.message().to_owned();
            let mut source: Option<&dyn std::error::Error> = Some(source);
            while let Some(deeper) = source {
                text = format!("{text}: {deeper}");
                source = deeper.source();
            }
            text
        }
        None => error.message().to_owned(),
    }
}
