//! Appending the body of a request to an upload.

use std::pin::pin;

use actix_web::web::Payload;
use domain::UploadError;
use futures_util::StreamExt as _;
use service::{Append, Error};

use crate::{extract::body::broken_off, problem::Problem, state::AppState};

/// The reason why a body was not appended whole.
pub(crate) enum AppendError {
    /// The body has more bytes than the upload may have.
    Overrun(UploadError),
    /// The body did not arrive whole, or could not be stored.
    Broken(Problem),
}

/// Appends a body to an upload.
///
/// A newer request for the same upload ends this one. The bytes that have arrived are stored first, so
/// that clients that supersede each other still make progress. A shutdown ends it as well, so that the
/// client continues on another process.
pub(crate) async fn stream_body(
    state: &AppState,
    append: &mut Append,
    mut payload: Payload,
) -> Result<(), AppendError> {
    let mut ending = pin!(state.shutdown.stopping());
    loop {
        let next = tokio::select! {
            biased;
            () = &mut ending => return Err(AppendError::Broken(Problem::stopping())),
            next = payload.next() => next,
            () = append.superseded() => {
                refuse_superseded(append).await?;
                continue;
            }
        };
        let Some(bytes) = next else {
            return Ok(());
        };
        let bytes = bytes.map_err(|error| AppendError::Broken(broken_off(&error)))?;
        state.metrics.received(bytes.len());
        match append.write(&bytes).await {
            Ok(()) => refuse_superseded(append).await?,
            Err(Error::Upload(overrun)) => return Err(AppendError::Overrun(overrun)),
            Err(error) => return Err(AppendError::Broken(error.into())),
        }
    }
}

async fn refuse_superseded(append: &mut Append) -> Result<(), AppendError> {
    match append.is_superseded().await {
        Ok(false) => Ok(()),
        Ok(true) => Err(AppendError::Broken(Error::Superseded.into())),
        Err(error) => Err(AppendError::Broken(error.into())),
    }
}

/// Returns whether a body without announced length has any byte.
pub(crate) async fn has_bytes(mut payload: Payload) -> Result<bool, Problem> {
    while let Some(bytes) = payload.next().await {
        if !bytes.map_err(|error| broken_off(&error))?.is_empty() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Ends an append early, and adds the offset to the problem if it can be determined.
pub(crate) async fn break_off(append: Append, problem: Problem) -> Problem {
    match append.break_off().await {
        Ok(offset) => problem.with_offset(offset),
        // The first problem is the one to report.
        Err(error) => {
            tracing::warn!(%error, "could not store all received bytes");
            problem
        }
    }
}
