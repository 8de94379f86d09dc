//! Errors of broker operations.

use lapin::{
    ErrorKind,
    protocol::{AMQPErrorKind, AMQPHardError, AMQPSoftError},
};

/// The result of a broker operation.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The reason why a broker operation failed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// An option is not valid.
    #[error("invalid broker options: {0}")]
    InvalidOptions(&'static str),
    /// The broker refused the credentials, or the user lacks a permission.
    #[error("access refused by the broker: {0}")]
    Refused(String),
    /// An exchange or a queue of the same name exists with other properties.
    #[error("an exchange or a queue exists with other properties: {0}")]
    Topology(String),
    /// The last connection attempt failed, and the next one is not due yet.
    #[error("waiting to reconnect to the broker")]
    BackingOff(#[source] Box<Error>),
    /// The broker is unreachable, or the connection was lost.
    #[error("the broker is unavailable")]
    Unavailable(#[source] lapin::Error),
    /// The broker did not answer in time.
    #[error("the broker did not answer in time")]
    TimedOut,
    /// The broker did not confirm a message, or could not route it to a queue.
    #[error("the broker did not confirm a message")]
    NotConfirmed,
    /// The broker cancelled the consumer: the queue was deleted, or its node failed.
    #[error("the broker cancelled the consumer")]
    Cancelled,
    /// This process closed the broker.
    #[error("the broker is closed")]
    Closed,
}

impl From<lapin::Error> for Error {
    fn from(error: lapin::Error) -> Self {
        match error.kind() {
            ErrorKind::ProtocolError(refused)
                if matches!(
                    refused.kind(),
                    AMQPErrorKind::Soft(AMQPSoftError::ACCESSREFUSED)
                        | AMQPErrorKind::Hard(AMQPHardError::NOTALLOWED)
                ) =>
            {
                Self::Refused(refused.get_message().to_string())
            }
            _ => Self::Unavailable(error),
        }
    }
}

impl Error {
    /// The value of `error.type` in traces.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::InvalidOptions(_) => "unusable",
            Self::Refused(_) => "refused",
            Self::Topology(_) => "topology",
            Self::BackingOff(_) | Self::Unavailable(_) => "unavailable",
            Self::TimedOut => "timed_out",
            Self::NotConfirmed => "not_taken",
            Self::Cancelled => "cancelled",
            Self::Closed => "closed",
        }
    }

    /// Converts the error of a declaration.
    pub(crate) fn from_declaration(error: lapin::Error) -> Self {
        match error.kind() {
            ErrorKind::ProtocolError(conflict)
                if *conflict.kind() == AMQPErrorKind::Soft(AMQPSoftError::PRECONDITIONFAILED) =>
            {
                Self::Topology(conflict.get_message().to_string())
            }
            _ => error.into(),
        }
    }
}
