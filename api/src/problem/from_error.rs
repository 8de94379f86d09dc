//! The problem of each error of the use cases.

use actix_web::http::header;
use domain::UploadError;

use telemetry::Component;

use super::{Problem, ProblemLocation, ProblemType};

impl From<service::Error> for Problem {
    fn from(error: service::Error) -> Self {
        use service::Error;
        let problem = |kind| Self::new(kind, error.to_string());
        match &error {
            Error::NotFound => problem(ProblemType::NotFound),
            Error::PreconditionFailed => problem(ProblemType::PreconditionFailed),
            Error::WrongSha1 { .. } | Error::WrongSha256 { .. } => {
                problem(ProblemType::DigestMismatch)
            }
            Error::Collision(_) => problem(ProblemType::DigestCollision),
            Error::TooLarge(_) => problem(ProblemType::TooLarge),
            Error::UploadNotFound => problem(ProblemType::UploadNotFound),
            Error::UploadGone => problem(ProblemType::UploadGone),
            Error::UploadComplete { length, .. } => {
                problem(ProblemType::CompletedUpload).with_offset(*length)
            }
            Error::UploadIsFinal => problem(ProblemType::FinalUpload),
            Error::Upload(error) => Self::upload(error),
            Error::WrongChecksum(offset) => {
                problem(ProblemType::ChecksumMismatch).with_offset(*offset)
            }
            Error::Superseded => problem(ProblemType::Superseded),
            Error::InvalidParts(_) => problem(ProblemType::InvalidConcatenation),
            Error::ClaimNotFound => problem(ProblemType::ClaimNotFound),
            Error::NotProven => problem(ProblemType::ClaimRefused),
            Error::TooManyClaims(wait) => problem(ProblemType::TooManyClaims).with_header(
                header::RETRY_AFTER,
                // Whole seconds, rounded up.
                (wait.as_secs() + 1).into(),
            ),
            Error::QuotaFull(_) => problem(ProblemType::QuotaFull),
            Error::LinkNotFound => problem(ProblemType::LinkNotFound),
            Error::InvalidCursor => {
                problem(ProblemType::InvalidCursor).named(ProblemLocation::Query, "cursor")
            }
            Error::TransferNotFound => problem(ProblemType::TransferNotFound),
            Error::TransferEnded => problem(ProblemType::TransferOver),
            Error::UnknownStore(_) | Error::SameStore => {
                problem(ProblemType::InvalidBody).at(ProblemLocation::Body)
            }
            Error::TooManyListings => Self::too_many_listings(error.to_string()),
            Error::Contended | Error::ListingsBusy | Error::Interrupted | Error::SessionOver => {
                Self::unavailable(Component::Service, &error)
            }
            Error::ContentLost(..)
            | Error::SourceDamaged(_)
            | Error::CopyDamaged(_)
            | Error::WrongDisk { .. }
            | Error::ForeignDisk(_) => Self::internal(Component::Store, &error),
            Error::Database(cause) => Self::database(cause),
            Error::Store(cause) => Self::store(cause),
        }
    }
}

impl Problem {
    fn upload(error: &UploadError) -> Self {
        let problem = |kind| Self::new(kind, error.to_string());
        match *error {
            UploadError::Offset { expected, provided } => Self {
                expected_offset: Some(expected),
                provided_offset: Some(provided),
                ..problem(ProblemType::MismatchingOffset).with_offset(expected)
            },
            UploadError::Length { .. } | UploadError::Short { .. } => {
                problem(ProblemType::InconsistentLength)
            }
            UploadError::Surplus(_) | UploadError::TooLarge(_) => problem(ProblemType::TooLarge),
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
            // The use cases report these as errors of their own.
            Error::QuotaFull(_) | Error::CorruptRow { .. } | Error::Other(_) => {
                Self::internal(Component::Database, error)
            }
        }
    }

    fn store(error: &storage::Error) -> Self {
        use storage::Error;
        match error {
            Error::Full(_) => Self::full(Component::Store, error),
            Error::Unavailable(_) | Error::Truncated(_) | Error::InUse => {
                Self::unavailable(Component::Store, error)
            }
            Error::SegmentIndex(_) => Self::unavailable(Component::Database, error),
            Error::Missing(_) | Error::WrongSize { .. } | Error::Damaged(_) => {
                Self::internal(Component::Store, error)
            }
        }
    }
}
