//! What a bucket's failures mean to whoever has to mend them.

use std::io;

use opendal::{Error as OpendalError, ErrorKind};

use super::BucketOptions;
use crate::Error;

/// How much of what the store said is repeated.
const MOST: usize = 300;

/// Whether the store said that there is no such object; or, by some answers, no such bucket.
pub(super) fn is_missing(error: &OpendalError) -> bool {
    error.kind() == ErrorKind::NotFound && !says(error, "NoSuchBucket")
}

/// Names the store and the cause; never a secret.
pub(super) fn explain(
    store: &str,
    options: &BucketOptions,
    error: &OpendalError,
    is_listing: bool,
) -> Error {
    let no_bucket =
        says(error, "NoSuchBucket") || (is_listing && error.kind() == ErrorKind::NotFound);
    let (bucket, endpoint) = (&options.bucket, &options.endpoint);
    let cause = if no_bucket {
        format!("there is no bucket {bucket} at {endpoint}")
    } else if says(error, "RequestTimeTooSkewed") {
        "this machine's clock is too far from the store's".to_owned()
    } else if says(error, "InvalidAccessKeyId") {
        "the store does not know the access key".to_owned()
    } else if says(error, "SignatureDoesNotMatch") {
        "the secret key is not that of the access key".to_owned()
    } else if is_full(error) {
        let told = io::Error::other(format!("the store {store} is full"));
        return Error::Full(told);
    } else if error.kind() == ErrorKind::PermissionDenied {
        "the store denies access".to_owned()
    } else if error.message().contains("timeout") {
        format!("{endpoint} does not answer in time")
    } else if is_unreachable(error) {
        format!("{endpoint} cannot be reached")
    } else {
        format!("{endpoint} failed")
    };
    let said: String = said(error).chars().take(MOST).collect();
    Error::Unavailable(io::Error::other(format!(
        "the store {store}: {cause} ({said})"
    )))
}

fn is_full(error: &OpendalError) -> bool {
    ["QuotaExceeded", "InsufficientStorage", "StorageFull"]
        .iter()
        .any(|code| says(error, code))
}

fn is_unreachable(error: &OpendalError) -> bool {
    error.message() == "send http request"
}

fn says(error: &OpendalError, code: &str) -> bool {
    error.message().contains(code)
}

fn said(error: &OpendalError) -> String {
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
