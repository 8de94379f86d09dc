//! Progress and notices of a client's transfers.

use std::{fmt, io};

use crate::error::ClientError;

/// The work that a transfer is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// A local file is read, to determine its digests.
    Hashing,
    /// Bytes are sent to the server.
    Sending,
    /// Bytes are received from the server.
    Receiving,
}

/// An event during a transfer, for its user.
#[derive(Debug)]
pub enum Notice<'a> {
    /// A request failed, and is being repeated.
    Retrying(&'a ClientError),
    /// The server lost the state of the upload, so it starts again.
    Restarting,
    /// An upload that began earlier goes on at this offset.
    Resuming(u64),
    /// The upload is remembered: a later process continues it if this one ends.
    Remembered,
    /// The upload cannot be remembered, so that it does not survive the end of the process.
    NotRemembered(&'a io::Error),
    /// The file could not be stored without sending it, so it is sent.
    NotInstant(&'a ClientError),
}

impl fmt::Display for Notice<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Retrying(error) => write!(f, "{}; retrying", domain::ErrorChain(*error)),
            Self::Restarting => f.write_str("the server lost the upload; restarting it"),
            Self::Resuming(offset) => write!(f, "resuming the upload at {offset} bytes"),
            Self::Remembered => f.write_str("the upload is remembered"),
            Self::NotRemembered(error) => write!(f, "the upload is not remembered: {error}"),
            Self::NotInstant(error) => write!(f, "no instant upload: {error}"),
        }
    }
}

/// Receives the progress and the notices of transfers.
///
/// The methods do nothing by default. Several threads call them.
pub trait Observer: Send + Sync {
    /// A phase begins; `length` is its number of bytes, if it is known.
    fn begin(&self, _phase: Phase, _length: Option<u64>) {}

    /// The phase has reached this position, in bytes.
    fn advance(&self, _position: u64) {}

    /// An event happened.
    fn notice(&self, _notice: Notice<'_>) {}
}

/// Ignores everything.
impl Observer for () {}
