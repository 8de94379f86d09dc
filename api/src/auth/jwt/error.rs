//! Errors of reading the issuer's keys, and of starting without them.

use std::{path::PathBuf, time::Duration};

use reqwest::StatusCode;

/// The reason why no token can be verified with some settings.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A required setting is empty.
    #[error("tokens cannot be verified without {0}")]
    Missing(&'static str),
    /// With this URL, others than the issuer could choose the keys.
    #[error("the URL of the issuer's keys {0}")]
    Url(&'static str),
    /// The HTTP client could not be built.
    #[error("the HTTP client for the issuer's keys could not be built")]
    Http(#[source] reqwest::Error),
    /// The file has no usable keys.
    #[error("could not read the issuer's keys from {path}")]
    File {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: ReadError,
    },
}

/// The keys could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file is missing, or not readable.
    #[error("could not read the file")]
    File(#[from] std::io::Error),
    /// There was no complete response.
    #[error("the request failed")]
    Http(#[source] reqwest::Error),
    /// The response is not 200. Redirects are not followed.
    #[error("the server answered {0}")]
    Status(StatusCode),
    /// The document is too large.
    #[error("the document exceeds {limit} bytes")]
    TooLarge {
        /// The limit.
        limit: usize,
    },
    /// Reading took too long.
    #[error("reading took more than {} s", limit.as_secs())]
    TimedOut {
        /// The limit.
        limit: Duration,
    },
    /// The document is no JWK set. Its content is not quoted, since it may be a secret.
    #[error("the document is not a JWK set (line {line}, column {column})")]
    NoKeySet {
        /// The line, from 1.
        line: usize,
        /// The column, from 1.
        column: usize,
    },
    /// The set is empty, or all its keys are unusable.
    #[error("the set has no usable key")]
    NoKey,
}
