//! What can go wrong between the service and the broker.

use lapin::{
    ErrorKind,
    protocol::{AMQPErrorKind, AMQPHardError, AMQPSoftError},
};

/// What an operation on the broker gives.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why an operation on the broker failed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// The settings cannot be used.
    #[error("the broker cannot be used: {0}")]
    Unusable(&'static str),
    /// The broker does not accept the credentials, or does not allow what was asked.
    #[error("the broker refuses: {0}")]
    Refused(String),
    /// The broker has an exchange or a queue of the same name that is made in another way.
    #[error("an exchange or a queue is declared differently: {0}")]
    Topology(String),
    /// The broker could not be reached a moment ago, and is not tried again yet.
    #[error("the broker could not be reached a moment ago")]
    Waiting(#[source] Box<Error>),
    /// The broker cannot be reached, or the connection is lost.
    #[error("the broker is unavailable")]
    Unavailable(#[source] lapin::Error),
    /// The broker did not answer in time.
    #[error("the broker does not answer")]
    TimedOut,
    /// The broker did not take a message, or had no queue for it.
    #[error("the broker did not take a message")]
    NotTaken,
    /// The broker does not deliver any more: its queue was removed, or its node went.
    #[error("the broker cancelled the deliveries")]
    Cancelled,
    /// The broker was closed by this process.
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
    /// What traces call it.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Unusable(_) => "unusable",
            Self::Refused(_) => "refused",
            Self::Topology(_) => "topology",
            Self::Waiting(_) | Self::Unavailable(_) => "unavailable",
            Self::TimedOut => "timed_out",
            Self::NotTaken => "not_taken",
            Self::Cancelled => "cancelled",
            Self::Closed => "closed",
        }
    }

    /// An error that came of declaring what is needed.
    pub(crate) fn of_declaration(error: lapin::Error) -> Self {
        match error.kind() {
            ErrorKind::ProtocolError(differs)
                if *differs.kind() == AMQPErrorKind::Soft(AMQPSoftError::PRECONDITIONFAILED) =>
            {
                Self::Topology(differs.get_message().to_string())
            }
            _ => error.into(),
        }
    }
}
