//! Which problem a failed use case is to its client.

use actix_web::http::header;
use domain::UploadError;

use telemetry::Component;

use super::{Problem, ProblemLocation, ProblemType};

impl From<service::Error> for Problem {
    fn from(error: service::Error) -> Self {
        use service::Error;
        let told = |kind| Self::new(kind, error.to_string());
        match &error {
            Error::NotFound => told(ProblemType::NotFound),
            Error::PreconditionFailed => told(ProblemType::PreconditionFailed),
            Error::WrongSha1 { .. } | Error::WrongSha256 { .. } => {
                told(ProblemType::DigestMismatch)
            }
            Error::Collision(_) => told(ProblemType::DigestCollision),
            Error::TooLarge(_) => told(ProblemType::TooLarge),
            Error::UploadNotFound => told(ProblemType::UploadNotFound),
            Error::UploadGone => told(ProblemType::UploadGone),
            Error::UploadDone { length, .. } => {
                told(ProblemType::CompletedUpload).with_offset(*length)
            }
            Error::UploadIsFinal => told(ProblemType::FinalUpload),
            Error::Upload(error) => Self::upload(error),
            Error::WrongChecksum(offset) => {
                told(ProblemType::ChecksumMismatch).with_offset(*offset)
            }
            Error::Superseded => told(ProblemType::Superseded),
            Error::Parts(_) => told(ProblemType::InvalidConcatenation),
            Error::ClaimNotFound => told(ProblemType::ClaimNotFound),
            Error::NotProven => told(ProblemType::ClaimRefused),
            Error::TooManyClaims(wait) => told(ProblemType::TooManyClaims).with_header(
                header::RETRY_AFTER,
                // Whole seconds, and late rather than early.
                (wait.as_secs() + 1).into(),
            ),
            Error::QuotaFull(_) => told(ProblemType::QuotaFull),
            Error::LinkNotFound => told(ProblemType::LinkNotFound),
            Error::ForeignCursor => {
                told(ProblemType::InvalidCursor).named(ProblemLocation::Query, "cursor")
            }
            Error::TransferNotFound => told(ProblemType::TransferNotFound),
            Error::TransferOver => told(ProblemType::TransferOver),
            Error::NoStore(_) | Error::SameStore => {
                told(ProblemType::InvalidBody).at(ProblemLocation::Body)
            }
            Error::Contended | Error::Interrupted | Error::SessionOver => {
                Self::unavailable(Component::Service, &error)
            }
            Error::ContentLost(..)
            | Error::SourceDamaged(_)
            | Error::CopyDamaged(_)
            | Error::OtherDisk { .. } => Self::internal(Component::Store, &error),
            Error::Database(cause) => Self::database(cause),
            Error::Store(cause) => Self::store(cause),
        }
    }
}

impl Problem {
    fn upload(error: &UploadError) -> Self {
        let told = |kind| Self::new(kind, error.to_string());
        match *error {
            UploadError::Offset { expected, provided } => Self {
                expected_offset: Some(expected),
                provided_offset: Some(provided),
                ..told(ProblemType::MismatchingOffset).with_offset(expected)
            },
            UploadError::Length { .. } | UploadError::Short { .. } => {
                told(ProblemType::InconsistentLength)
            }
            UploadError::Surplus(_) | UploadError::TooLarge(_) => told(ProblemType::TooLarge),
        }
    }

    fn database(error: &persistence::Error) -> Self {
        use persistence::Error;
        match error {
            Error::Full(_) => Self::full(Component::Database, error),
            Error::Unavailable(_)
            | Error::TimedOut
            | Error::Busy(_)
            | Error::CommitUnknown(_)
            | Error::Unusable(_) => Self::unavailable(Component::Database, error),
            // the service tells of it by itself.
            Error::QuotaFull(_) | Error::CorruptRow { .. } | Error::Other(_) => {
                Self::internal(Component::Database, error)
            }
        }
    }

    fn store(error: &storage::Error) -> Self {
        use storage::Error;
        match error {
            Error::Full(_) => Self::full(Component::Store, error),
            Error::Unavailable(_) | Error::Ended(_) | Error::InUse => {
                Self::unavailable(Component::Store, error)
            }
            Error::Ledger(_) => Self::unavailable(Component::Database, error),
            Error::Missing(_) | Error::WrongSize { .. } => Self::internal(Component::Store, error),
        }
    }
}
